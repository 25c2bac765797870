package ide

// Subcommands of SET FEATURES, in the Features register (ATA/ATAPI-6, table 43).
const (
	featureWriteCacheOn  = 0x02
	featureTransferMode  = 0x03
	featureLookAheadOff  = 0x55
	featureKeepSettings  = 0x66 // over a software reset
	featureWriteCacheOff = 0x82
	featureLookAheadOn   = 0xAA
)

// Transfer modes, in the Count register (table 44):
//
//	 7        3 2    0
//	+----------+------+
//	| kind     | mode |
//	+----------+------+
const (
	modeKind        = 0xF8
	modeNumber      = 0x07
	modePIO         = 0x00 // 0 and 1: the default, with and without IORDY
	modePIOFlow     = 0x08
	modeMultiword   = 0x20
	modeUltraDMA    = 0x40
	maxPIO          = 4
	maxMultiwordDMA = 2
	maxUltraDMA     = 5
)

// validMode reports whether a drive has a transfer mode.
func validMode(mode uint8) bool {
	n := mode & modeNumber
	switch mode & modeKind {
	case modePIO:
		return n <= 1
	case modePIOFlow:
		return n <= maxPIO
	case modeMultiword:
		return n <= maxMultiwordDMA
	case modeUltraDMA:
		return n <= maxUltraDMA
	}
	return false
}

// dmaModes are words 63 (multiword) and 88 (Ultra) of IDENTIFY DEVICE: the
// supported modes, and the one in use in the upper byte.
func dmaModes(mode uint8) (multiword, ultra uint16) {
	multiword, ultra = 1<<(maxMultiwordDMA+1)-1, 1<<(maxUltraDMA+1)-1
	selected := uint16(1) << (8 + mode&modeNumber)
	switch mode & modeKind {
	case modeMultiword:
		multiword |= selected
	case modeUltraDMA:
		ultra |= selected
	}
	return multiword, ultra
}

// setFeatures carries out SET FEATURES. The write cache is the host's, which may
// have to flush it first.
func (k *disk) setFeatures() {
	s := &k.s.Disk
	switch f := uint8(k.s.Features); f {
	case featureTransferMode:
		mode := uint8(k.s.Count)
		if !validMode(mode) {
			k.fail(errorABRT)
			return
		}
		s.TransferMode = mode
	case featureLookAheadOn, featureLookAheadOff:
		s.LookAhead = f == featureLookAheadOn
	case featureKeepSettings:
	case featureWriteCacheOn, featureWriteCacheOff:
		// After a failure the cache is off all the same: what fails is the flush
		// of what was written before, of which the driver is told.
		on := f == featureWriteCacheOn
		s.WriteCache = on
		k.background(func() error { return k.setCache(on) })
		return
	default:
		k.fail(errorABRT)
		return
	}
	k.succeed()
}
