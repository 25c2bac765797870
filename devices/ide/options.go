package ide

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/devices/irq"
)

// Lengths, in bytes, of the strings that IDENTIFY DEVICE gives.
const (
	SerialLength   = 20
	FirmwareLength = 8
	ModelLength    = 40
)

// Channels and the drives of each.
const (
	Channels = 2
	Units    = 2 // 0 is the master, 1 the slave
)

// Options say what the function is connected to.
type Options struct {
	// Memory is where the bus masters read and write.
	Memory Memory
	// Lines are the interrupts of the two channels, IRQ 14 and 15; nil leads
	// nowhere.
	Lines [Channels]irq.Line
	// Drives are a DiskOptions, a CDROMOptions or nil each, by channel and unit.
	Drives [Channels][Units]DriveOptions
	// Firmware makes power-on and reset leave the registers as firmware would,
	// for guests started without: both channels enabled, their ports decoded,
	// and the drives marked as capable of DMA.
	Firmware bool
	Log      *slog.Logger // nil discards
}

// Memory is guest memory. A *memory.Memory is one.
type Memory interface {
	// Size is the amount of RAM in bytes.
	Size() uint64
	// Slice returns n bytes of RAM in place.
	Slice(gpa, n uint64) ([]byte, error)
	// MarkDirty notes that n bytes were written.
	MarkDirty(gpa, n uint64)
}

// DriveOptions describe a drive: a DiskOptions or a CDROMOptions.
type DriveOptions interface {
	attach(d *drive) error
}

// ErrorOptions say what becomes of requests that the host's disk fails.
type ErrorOptions struct {
	Policy block.ErrorPolicy
	// OnError is told of each request that the host's disk has failed, whatever
	// the policy says; the guest can cause any number of calls. It is called in
	// the middle of I/O: it must neither block nor call the Controller. When
	// IOError.Action is StopOnError, whoever it tells stops the vCPUs, calls Pause, and
	// later Resume. Required for policies that stop.
	OnError func(e block.IOError)
}

func (o *ErrorOptions) check() error {
	switch {
	case !o.Policy.Known():
		return fmt.Errorf("unknown error policy %d", o.Policy)
	case o.OnError == nil && o.Policy.Stops():
		return fmt.Errorf("error policy %v needs somebody who stops the machine (OnError)", o.Policy)
	}
	return nil
}

// DiskOptions describe an ATA disk.
type DiskOptions struct {
	// Backend is the host end, at least a sector long. The caller closes it,
	// after the Controller. Its OnResize function is the disk's.
	Backend block.Backend
	// Serial is the serial number, of which SerialLength bytes are used.
	Serial string
	// Model and Revision are the model number, ModelLength bytes, and the
	// firmware revision, FirmwareLength bytes. Empty is "GOVMM HARDDISK" and
	// "1.0".
	Model, Revision string
	// WWN is the world wide name; 0 for none.
	WWN uint64
	// RotationRate is as IDENTIFY DEVICE has it: 1 for no rotating medium, or
	// revolutions a minute; 0 says nothing.
	RotationRate uint16
	// PhysicalBlockSize is what the guest is told, in bytes: a power of 2 from
	// 512 to 16 MiB. 0 is that of the back end.
	PhysicalBlockSize int
	// Geometry is the geometry that IDENTIFY DEVICE gives; the zero value
	// stands for that of the function Geometry.
	Geometry CHS

	Errors ErrorOptions
}

// CDROMOptions describe an ATAPI CD-ROM drive.
type CDROMOptions struct {
	// Backend is the medium in the drive; nil for none. The caller closes it,
	// after it was ejected or after the Controller.
	Backend block.Backend
	// Serial, Model and Revision are as for a disk; an empty Model is
	// "GOVMM DVD-ROM".
	Serial, Model, Revision string

	// TrayMoved, if not nil, is told when the guest, OpenTray or CloseTray has opened
	// or closed the tray. It is called in the middle of a command: it must neither
	// block nor call the Controller.
	TrayMoved func(open bool)

	Errors ErrorOptions
}

const (
	defaultRevision = "1.0"
	diskModel       = "GOVMM HARDDISK"
	cdromModel      = "GOVMM DVD-ROM"

	maxPhysicalBlock = block.SectorSize << 15
)

var errNoBackend = errors.New("no back end")

func (o *DiskOptions) check() error {
	if o.Backend == nil {
		return errNoBackend
	}
	size := o.PhysicalBlockSize
	switch g := o.Geometry; {
	case o.Backend.Size() < block.SectorSize:
		return fmt.Errorf("%d bytes are too few for a disk", o.Backend.Size())
	case size != 0 && (size < block.SectorSize || size > maxPhysicalBlock || size&(size-1) != 0):
		return fmt.Errorf("physical block size %d is not a power of 2 from %d to %d", size, block.SectorSize, maxPhysicalBlock)
	case g != CHS{} && (g.Cylinders == 0 || g.Heads == 0 || g.Heads > 16 || g.Sectors == 0):
		return fmt.Errorf("geometry %d/%d/%d: a disk has 1 to 65535 cylinders, 1 to 16 heads and 1 to 255 sectors a track",
			g.Cylinders, g.Heads, g.Sectors)
	}
	return o.Errors.check()
}
