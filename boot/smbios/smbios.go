// Package smbios builds the tables by which a machine names itself to its guest:
// the System Management BIOS Reference Specification (DMTF DSP0134), version 2.8
// with the 32-bit entry point or version 3.0 with the 64-bit one. It also reads
// those values from the host's own tables, for a guest that is to show them.
//
// Structure types, handles and values follow QEMU 7.2's pc machine, which guests
// and inventory programs know, but for the manufacturer's name:
//
//	type  handle   structure
//	0     0x0000   BIOS, if asked for
//	1     0x0100   system
//	2     0x0200   base board, if asked for
//	3     0x0300   chassis
//	4     0x0400-  processors, one a socket
//	11    0x0E00   OEM strings, if there are any
//	16    0x1000   physical memory array
//	17    0x1100-  memory devices
//	19    0x1300-  mapped addresses of the array, one a range of RAM; higher up
//	               where there are more than 512 memory devices
//	32    0x2000   system boot
//	127   0x7F00   end of table
//
// Left out: caches, slots, ports, and devices on the board, which are optional or
// are described by ACPI and PCI.
package smbios

import (
	"encoding/binary"
	"fmt"
)

// Version is a version of the specification.
type Version uint8

// The versions that Build can write.
const (
	V2_8 Version = iota // 32-bit entry point "_SM_"; at most 64 KiB of structures
	V3_0                // 64-bit entry point "_SM3_"
)

func (v Version) String() string {
	switch v {
	case V2_8:
		return "2.8"
	case V3_0:
		return "3.0"
	}
	return fmt.Sprintf("Version(%d)", uint8(v))
}

// Config says what the tables tell. Strings are written without the white space
// around them; the empty string says that a value is not specified. They may hold
// printable ASCII characters only, and at most MaxString bytes.
type Config struct {
	Version Version
	// Machine is what the other structures fall back to.
	Machine Machine

	// BIOS is the firmware. Nil leaves the structure out, for a firmware that adds
	// its own then, as SeaBIOS does.
	BIOS   *BIOS
	System System
	// BaseBoard is the main board; nil leaves the structure out.
	BaseBoard *BaseBoard
	Chassis   Chassis
	// OEMStrings are strings for the guest to make sense of, at most 255.
	OEMStrings []string

	Processors Processors

	// LowRAM and HighRAM are the bytes of RAM from address 0 and from 4 GiB,
	// multiples of 1024.
	LowRAM, HighRAM uint64
	// DIMMSize is the most RAM that is shown as one memory device, in bytes: a
	// multiple of 1 MiB; 0 means DefaultDIMMSize.
	DIMMSize uint64
}

// Machine holds what a structure shows for a manufacturer, a product and a
// version that it was given none of.
type Machine struct {
	Manufacturer string // empty means DefaultManufacturer
	Product      string // the machine type's description; empty means DefaultProduct
	Version      string // the machine type's name; empty means DefaultVersion
}

// Defaults of Config.
const (
	DefaultManufacturer        = "govmm"
	DefaultProduct             = "Standard PC (i440FX + PIIX, 1996)"
	DefaultVersion             = "pc"
	DefaultDIMMSize     uint64 = 16 << 30 // bytes
	DefaultSpeed               = 2000     // MHz
)

// BIOS is what type 0 tells about the firmware (section 7.1). Empty strings stay
// empty.
type BIOS struct {
	Vendor  string
	Version string
	Date    string // mm/dd/yy or mm/dd/yyyy
	Release string // major.minor, both 0 to 255; empty means 0.0
	UEFI    bool   // whether the firmware offers UEFI
}

// DefaultBIOS describes the firmware of a machine that has none: one that starts
// a kernel directly.
func DefaultBIOS() *BIOS {
	return &BIOS{Vendor: DefaultManufacturer, Version: "1.0", Date: "01/01/2026", Release: "1.0"}
}

// System is what type 1 tells about the machine (section 7.2).
type System struct {
	Manufacturer string // empty means Machine.Manufacturer
	Product      string // empty means Machine.Product
	Version      string // empty means Machine.Version
	Serial       string
	// UUID is the machine's, in the order in which it is written (RFC 4122). It is
	// stored with its first three fields little-endian (section 7.2.1). All zero
	// means that there is none.
	UUID   [16]byte
	SKU    string
	Family string
}

// BaseBoard is what type 2 tells about the main board (section 7.3).
type BaseBoard struct {
	Manufacturer string // empty means Machine.Manufacturer
	Product      string // empty means Machine.Product
	Version      string // empty means Machine.Version
	Serial       string
	Asset        string
	Location     string
}

// Chassis is what type 3 tells about the case (section 7.4).
type Chassis struct {
	Manufacturer string // empty means Machine.Manufacturer
	Version      string // empty means Machine.Version
	Serial       string
	Asset        string
	SKU          string
}

// Processors is what type 4 tells about each socket (section 7.5). All sockets
// hold the same processor.
type Processors struct {
	Sockets int // at most MaxSockets; 0 means 1
	Cores   int // in a socket, at most 65534; 0 means 1
	Threads int // in a core, so that a socket has at most 65534; 0 means 1

	Manufacturer string // empty means Machine.Manufacturer
	Version      string // empty means Machine.Version
	// Family is a value of section 7.5.2; 0 means 1, "other".
	Family uint16
	// Signature and Features are EAX and EDX of CPUID leaf 1.
	Signature, Features uint32
	// Speed is in MHz; 0 means DefaultSpeed.
	Speed uint16

	Serial, Asset, Part string
}

// Limits of Config.
const (
	// MaxString is the longest string, in bytes. The specification has had no
	// limit since 2.7 (section 6.1.3); guests read a string into a buffer.
	MaxString = 4096
	// MaxSockets is the number of processor handles.
	MaxSockets = handleOEMStrings - handleProcessor
	// MaxDIMMs is the number of memory device handles.
	MaxDIMMs = handleBoot - handleMemoryDevice - maxMapped
)

// Handles of structures, and of the first where there may be more than one.
const (
	handleBIOS         = 0x0000
	handleSystem       = 0x0100
	handleBaseBoard    = 0x0200
	handleChassis      = 0x0300
	handleProcessor    = 0x0400
	handleOEMStrings   = 0x0E00
	handleMemoryArray  = 0x1000
	handleMemoryDevice = 0x1100
	handleMapped       = 0x1300
	handleBoot         = 0x2000
	handleEnd          = 0x7F00

	// handleNone stands where the machine has nothing to refer to.
	handleNone = 0xFFFF
	// handleNoErrors says that memory errors are not reported.
	handleNoErrors = 0xFFFE
)

// Build makes the tables. The error names the field of Config that cannot be
// written.
func Build(cfg Config) (*Tables, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("smbios: %w", err)
	}
	b := &builder{}
	if cfg.BIOS != nil {
		b.bios(cfg.BIOS)
	}
	b.system(cfg)
	if cfg.BaseBoard != nil {
		b.baseBoard(cfg)
	}
	b.chassis(cfg)
	b.processors(cfg)
	if len(cfg.OEMStrings) > 0 {
		b.oemStrings(cfg.OEMStrings)
	}
	b.memory(cfg)
	b.boot()
	b.end()
	if b.err != nil {
		return nil, fmt.Errorf("smbios: %w", b.err)
	}
	anchor, err := makeAnchor(cfg.Version, b)
	if err != nil {
		return nil, fmt.Errorf("smbios: %w", err)
	}
	return &Tables{Anchor: anchor, Data: b.out}, nil
}

// setDefaults fills in what is empty and checks the numbers.
func (c *Config) setDefaults() error {
	if c.Version > V3_0 {
		return fmt.Errorf("version %v cannot be written", c.Version)
	}
	m := &c.Machine
	fallback(&m.Manufacturer, DefaultManufacturer)
	fallback(&m.Product, DefaultProduct)
	fallback(&m.Version, DefaultVersion)
	fallback(&c.System.Manufacturer, m.Manufacturer)
	fallback(&c.System.Product, m.Product)
	fallback(&c.System.Version, m.Version)
	fallback(&c.Chassis.Manufacturer, m.Manufacturer)
	fallback(&c.Chassis.Version, m.Version)
	if c.BaseBoard != nil {
		board := *c.BaseBoard // the caller's stays as it is
		fallback(&board.Manufacturer, m.Manufacturer)
		fallback(&board.Product, m.Product)
		fallback(&board.Version, m.Version)
		c.BaseBoard = &board
	}
	if err := c.Processors.setDefaults(m); err != nil {
		return err
	}
	fallback(&c.DIMMSize, DefaultDIMMSize)
	return c.checkMemory()
}

func (p *Processors) setDefaults(m *Machine) error {
	fallback(&p.Sockets, 1)
	fallback(&p.Cores, 1)
	fallback(&p.Threads, 1)
	fallback(&p.Manufacturer, m.Manufacturer)
	fallback(&p.Version, m.Version)
	fallback(&p.Family, familyOther)
	fallback(&p.Speed, DefaultSpeed)
	switch {
	case p.Sockets < 0 || p.Sockets > MaxSockets:
		return fmt.Errorf("%d processor sockets, want 1 to %d", p.Sockets, MaxSockets)
	case p.Cores < 0 || p.Cores > maxThreads:
		return fmt.Errorf("%d cores in a socket, want 1 to %d", p.Cores, maxThreads)
	case p.Threads < 0 || p.Threads > maxThreads/p.Cores:
		return fmt.Errorf("%d threads in each of %d cores, want at most %d in a socket", p.Threads, p.Cores, maxThreads)
	}
	return nil
}

// fallback sets *v to def if it is the zero value.
func fallback[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

var le = binary.LittleEndian
