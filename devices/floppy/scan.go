package floppy

// compare is the end of a sector of a SCAN command: the disk's is in the first
// part of the buffer, what the guest has sent in the second. The condition must
// hold for each byte; 0xFF on either side always meets it.
func (f *FDC) compare() {
	t := &f.s.Transfer
	met, equal := true, true
	for i := range t.Pos - sectorSize {
		disk, host := f.data[i], f.data[sectorSize+i]
		if disk == host || disk == 0xFF || host == 0xFF {
			continue
		}
		equal = false
		switch t.Kind {
		case KindScanEqual:
			met = false
		case KindScanLow:
			met = met && disk < host
		case KindScanHigh:
			met = met && disk > host
		}
	}
	switch {
	case met && equal:
		t.ST2 |= st2ScanHit
		f.done(0)
	case met:
		f.done(0)
	case t.TC || !f.scanOn():
		t.ST2 |= st2ScanMiss
		f.done(0)
	default:
		f.next()
	}
}

// scanOn moves on by the command's STP, 1 or 2 sectors. It is false at the end
// of the cylinder.
func (f *FDC) scanOn() bool {
	t := &f.s.Transfer
	r := int(t.R) + 1
	if t.Parameter == 2 {
		r++
	}
	if r <= int(t.EOT) {
		t.R = uint8(r)
		return true
	}
	if t.Command&commandMT == 0 || t.Head == 1 {
		return false
	}
	t.R, t.Head, t.H = 1, 1, t.H^1
	return true
}
