package acpi

// WAET flags (Windows ACPI Emulated Devices Table, version 1.0).
const (
	waetRTCGood     = 1 << 0 // the clock's interrupt needs no acknowledgement
	waetPMTimerGood = 1 << 1 // one read of the PM timer gives a true value
)

// waet builds the Windows ACPI Emulated Devices Table after its header.
func waet(cfg Config) []byte {
	flags := uint32(waetPMTimerGood)
	if cfg.RTCNeedsNoAck {
		flags |= waetRTCGood
	}
	return le.AppendUint32(nil, flags)
}

// DefaultHPETID is the event timer block id of an HPET (IA-PC HPET specification
// 1.0a, section 2.3.4, bits 31..0 of the capabilities register):
//
//	31..16 vendor  15 legacy replacement  13 64-bit counter
//	12..8  number of the last comparator  7..0 revision
//
// This one is from Intel and has three 64-bit comparators.
const DefaultHPETID = 0x8086_A201

// hpetSize is the size of the HPET's registers, in bytes.
const hpetSize = 0x400

// hpetBody is the HPET table after its header (IA-PC HPET 1.0a, section 3.2.4).
type hpetBody struct {
	BlockID     uint32
	BaseAddress gas
	Number      uint8
	MinTick     uint16 // smallest period in periodic mode without lost interrupts
	Protection  uint8
}

func hpet(cfg Config) []byte {
	return encode(hpetBody{
		BlockID:     cfg.HPETID,
		BaseAddress: gas{SpaceID: spaceSystemMemory, Address: uint64(cfg.HPETAddr)},
	})
}
