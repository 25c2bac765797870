package acpi

// rsdp is the Root System Description Pointer (section 5.2.5.3).
type rsdp struct {
	Signature        [8]byte
	Checksum         uint8 // of the first 20 bytes
	OEMID            [6]byte
	Revision         uint8
	RSDTAddress      uint32
	Length           uint32
	XSDTAddress      uint64
	ExtendedChecksum uint8 // of the whole
	_                [3]byte
}

const (
	rsdpSize           = 36
	rsdpV1Size         = 20
	rsdpChecksum       = 8
	rsdpRSDTAddress    = 16
	rsdpXSDTAddress    = 24
	rsdpExtendedChksum = 32
)

// root adds the tables that lead to all others: the RSDT for ACPI 1.0 guests,
// the XSDT and the RSDP. listed holds the offsets of the tables in them.
func (b *builder) root(listed []int) {
	var entries32, entries64 []byte
	for _, offset := range listed {
		entries32 = le.AppendUint32(entries32, uint32(offset))
		entries64 = le.AppendUint64(entries64, uint64(offset))
	}
	rsdt := b.table("RSDT", 1, entries32)
	xsdt := b.table("XSDT", 1, entries64)
	for i := range listed {
		b.pointer(Data, rsdt+headerSize+4*i, 4)
		b.pointer(Data, xsdt+headerSize+8*i, 8)
	}

	r := rsdp{
		Revision:    2,
		RSDTAddress: uint32(rsdt),
		Length:      rsdpSize,
		XSDTAddress: uint64(xsdt),
	}
	copy(r.Signature[:], "RSD PTR ")
	copy(r.OEMID[:], oemID)
	b.tables.RSDP = encode(r)
	b.pointer(RSDP, rsdpRSDTAddress, 4)
	b.pointer(RSDP, rsdpXSDTAddress, 8)
	// The second range holds the first checksum, so the order matters.
	b.checksum(RSDP, rsdpChecksum, 0, rsdpV1Size)
	b.checksum(RSDP, rsdpExtendedChksum, 0, rsdpSize)
}
