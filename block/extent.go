package block

import "golang.org/x/sys/unix"

// extent finds where the data at offset ends, or the hole. Devices and file
// systems that do not tell are data throughout.
func (d *Raw) extent(offset, length int64) (Extent, error) {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.closed {
		return Extent{}, ErrClosed
	}
	if size := d.size.Load(); offset < 0 || length <= 0 || offset > size || length > size-offset {
		return Extent{}, ErrOutOfRange
	}
	all := Extent{Length: length, Allocated: true}
	if d.device {
		return all, nil
	}
	data, err := unix.Seek(d.fd, offset, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO: // nothing but a hole to the end
		return Extent{Length: length, Zero: true}, nil
	case err != nil:
		return all, nil
	case data > offset:
		return Extent{Length: min(length, data-offset), Zero: true}, nil
	}
	hole, err := unix.Seek(d.fd, offset, unix.SEEK_HOLE)
	if err == nil && hole > offset {
		all.Length = min(length, hole-offset)
	}
	return all, nil
}
