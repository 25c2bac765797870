package vga

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/pci"
)

// The PCI identity. Revision 2 announces the extended registers of BAR 2; the
// subsystem is the one that drivers for virtual machines know.
const (
	pciVendor      = 0x1234
	pciDevice      = 0x1111
	pciRevision    = 2
	pciClass       = 0x030000
	pciSubVendor   = 0x1AF4
	pciSubsystem   = 0x1100
	barFramebuffer = 0
	barRegisters   = 2
)

// Options says how an adapter is built.
type Options struct {
	// Name is the device in messages, for instance "video0".
	Name string

	// VRAM is the size of the video memory in bytes, a power of two from
	// MinVRAM to MaxVRAM; 0 is DefaultVRAM.
	VRAM uint64

	// ROM is the video BIOS for the expansion ROM BAR, as pci.Config.AddROM takes
	// it; nil for none. It must be made for 1234:1111.
	ROM []byte

	// PreferredWidth and PreferredHeight are the resolution that the EDID
	// recommends, in pixels, at most 4095; 0 is 1280x800.
	PreferredWidth, PreferredHeight int

	// Clock times the retrace. It is required.
	Clock clock.Clock

	// FramebufferMoved, if not nil, is told when the guest maps BAR 0, the
	// whole VRAM, at another address or no more, so that the machine can
	// put a memory slot there. Without a slot the accesses are answered as
	// those of any BAR. See pci.BAR.Moved.
	FramebufferMoved func(base uint64, mapped bool)
}

// VGA is a display adapter. It is a pci.Function; what it answers outside of
// its BARs are the handlers Window, Ports, MonoPorts and DISPIPorts.
type VGA struct {
	*pci.Config

	clock clock.Clock
	edid  [edidSize]byte

	// open is held for reading by whoever reads vram without mu.
	open sync.RWMutex

	mu     sync.Mutex
	vram   []byte // nil once closed; the guest may write to it at any time
	s      State
	access access
}

var (
	_ pci.Function = (*VGA)(nil)
	_ bus.Resetter = (*VGA)(nil)
)

// State is all that there is to know about an adapter besides the contents of
// its video memory and configuration space.
type State struct {
	Enabled        bool  // port 0x3C3
	Misc           uint8 // miscellaneous output
	FeatureControl uint8

	SequencerIndex uint8
	Sequencer      [5]uint8
	CRTCIndex      uint8
	CRTC           [25]uint8
	GraphicsIndex  uint8
	Graphics       [9]uint8
	Latch          uint32 // plane 0 in the low byte

	AttributeIndex uint8 // with bit 5, the palette address source
	AttributeData  bool  // the next write to 0x3C0 is data
	Attribute      [21]uint8

	DACMask       uint8
	DACReadIndex  uint8
	DACWriteIndex uint8
	DACReading    bool
	DACComponent  uint8    // 0 red, 1 green, 2 blue
	DACPartial    [3]uint8 // components written of a colour not yet complete
	DAC           [256][3]uint8

	DISPIIndex uint16
	DISPI      [dispiRegisters]uint16
	BigEndian  bool // byte order of the pixels in VBE modes
}

// New returns an adapter in its power-on state, with video memory from the
// host, outside the Go heap. The caller adds it to a PCI bus and Closes it.
func New(o Options) (*VGA, error) {
	v, err := newVGA(o)
	if err != nil {
		return nil, fmt.Errorf("vga: %s: %w", o.Name, err)
	}
	return v, nil
}

func newVGA(o Options) (*VGA, error) {
	if o.VRAM == 0 {
		o.VRAM = DefaultVRAM
	}
	if o.PreferredWidth == 0 && o.PreferredHeight == 0 {
		o.PreferredWidth, o.PreferredHeight = 1280, 800
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	v := &VGA{
		clock: o.Clock,
		edid:  newEDID(o.PreferredWidth, o.PreferredHeight),
	}
	if err := v.describe(o); err != nil {
		return nil, err
	}
	vram, err := unix.Mmap(-1, 0, int(o.VRAM), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map %d MiB of video memory: %w", o.VRAM>>20, err)
	}
	v.vram = vram
	v.Reset()
	return v, nil
}

func (o *Options) check() error {
	switch {
	case o.Clock == nil:
		return errors.New("no clock was given")
	case bits.OnesCount64(o.VRAM) != 1 || o.VRAM < MinVRAM || o.VRAM > MaxVRAM:
		return fmt.Errorf("%d bytes of video memory are not a power of two from %d to %d MiB",
			o.VRAM, MinVRAM>>20, MaxVRAM>>20)
	case min(o.PreferredWidth, o.PreferredHeight) < 1 || max(o.PreferredWidth, o.PreferredHeight) > edidMaxSize:
		return fmt.Errorf("the preferred resolution %dx%d is not within 1x1 and %dx%d",
			o.PreferredWidth, o.PreferredHeight, edidMaxSize, edidMaxSize)
	}
	return nil
}

// describe makes the configuration space.
func (v *VGA) describe(o Options) (err error) {
	v.Config, err = pci.NewConfig(pci.Header{
		Name:   o.Name,
		Vendor: pciVendor, Device: pciDevice,
		SubsystemVendor: pciSubVendor, Subsystem: pciSubsystem,
		Revision: pciRevision,
		Class:    pciClass,
	})
	if err != nil {
		return err
	}
	// It answers ports without a BAR for them, which firmware wants to see enabled.
	v.Define16(pci.RegCommand, 0, pci.CommandIO|pci.CommandMemory|pci.CommandBusMaster)
	bars := []pci.BAR{
		{Index: barFramebuffer, Kind: pci.Memory32, Prefetchable: true, Size: o.VRAM,
			Handler: framebuffer{v}, Moved: o.FramebufferMoved},
		{Index: barRegisters, Kind: pci.Memory32, Size: mmioSize, Handler: mmio{v}},
	}
	for _, b := range bars {
		if err := v.AddBAR(b); err != nil {
			return err
		}
	}
	if o.ROM == nil {
		return nil
	}
	return v.AddROM(o.ROM)
}

// Reset returns the registers to their power-on state, which also unmaps the
// BARs. The video memory keeps its contents.
func (v *VGA) Reset() {
	v.Config.Reset()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.s = State{Enabled: true, DACMask: 0xFF}
	v.s.DISPI[dispiID] = dispiVersion
	v.changed()
}

// Close gives the video memory back to the host. The caller has removed every
// memory slot that maps it. Accesses after Close read ones; closing twice does
// nothing.
func (v *VGA) Close() error {
	v.open.Lock()
	defer v.open.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.vram == nil {
		return nil
	}
	vram := v.vram
	v.vram = nil
	v.changed()
	if err := unix.Munmap(vram); err != nil {
		return fmt.Errorf("vga: unmap the video memory: %w", err)
	}
	return nil
}

// VRAM is the video memory, page-aligned, for a memory slot that follows
// Options.FramebufferMoved. It is valid until Close.
func (v *VGA) VRAM() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.vram
}

// State returns a copy of the registers.
func (v *VGA) State() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.s
}
