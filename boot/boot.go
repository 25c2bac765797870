// Package boot puts the first instruction of a guest in place: it loads a
// kernel and its initial ramdisk into guest RAM, writes what the kernel wants
// to find there, and says in which state the boot processor starts.
//
// What it loads:
//
//   - Linux bzImages from boot protocol 2.02 on, by the 64-bit entry of
//     protocol 2.12 or by the 32-bit entry (Documentation/arch/x86/boot.rst);
//   - ELF kernels with the XEN_ELFNOTE_PHYS32_ENTRY note, by the PVH protocol
//     (xen/docs/misc/pvh.pandoc), also 32-bit ones;
//   - other 64-bit ELF kernels (vmlinux), by the Linux 64-bit entry;
//   - the ELF kernels above compressed as a whole (vmlinux.gz and so on).
//
// A bzImage may be unpacked here instead of by the guest, with address space
// layout randomisation done here too: see Decompress and kaslr.go.
//
// The package knows nothing of KVM, and leaves out the real-mode entry (which
// needs a BIOS), multiboot and EFI. Firmware starts by ResetEntry. ACPI, SMBIOS
// and MP tables are put in place by others; layout.go has the room for them.
package boot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/govmm/govmm/boot/payload"
)

// Memory is the guest RAM that Load writes to. Both methods refuse what is not
// wholly in RAM.
type Memory interface {
	// WriteAt copies p to guest-physical address gpa.
	WriteAt(p []byte, gpa uint64) error
	// Slice returns the n bytes of RAM at guest-physical address gpa.
	Slice(gpa, n uint64) ([]byte, error)
}

// Image is a file to load. It is read where it is needed, straight into guest
// RAM, so it must not change while Load runs. *io.SectionReader and
// *bytes.Reader are Images.
type Image interface {
	io.ReaderAt
	Size() int64 // bytes
}

// Config says what to load and into which machine.
type Config struct {
	// Kernel is the kernel file.
	Kernel Image
	// Initrd is the initial ramdisk; nil for none.
	Initrd Image
	// Cmdline is the kernel command line, without a terminating zero.
	Cmdline string

	// LowRAM and HighRAM are the bytes of RAM from address 0 and from 4 GiB.
	LowRAM, HighRAM uint64
	// Reserved ranges are cut out of RAM in the guest's memory map; nothing is
	// loaded there. See E820Map.
	Reserved []E820Entry
	// RSDP is the guest-physical address of the ACPI root pointer; 0 without
	// ACPI.
	RSDP uint64

	// Decompress says who unpacks a bzImage.
	Decompress Decompress
	// GuestSlow says that guest kernel code runs much slower than host code,
	// as on a KVM that interprets it. It turns Decompress's automatic choice
	// towards the host.
	GuestSlow bool
	// ZeroedRAM says that guest RAM is known to be all zero, as on a first
	// boot, which saves clearing parts of it.
	ZeroedRAM bool

	// Rand is the source of the layout randomisation and of the seed for the
	// guest's random number generator; nil means crypto/rand.
	Rand io.Reader
	// Log receives what was decided; nil means no log.
	Log *slog.Logger
}

// Protocol is how a kernel was started.
type Protocol uint8

// The protocols.
const (
	Linux64 Protocol = iota + 1 // Linux, 64-bit entry
	Linux32                     // Linux, 32-bit entry
	PVH
)

func (p Protocol) String() string {
	switch p {
	case Linux64:
		return "Linux 64-bit"
	case Linux32:
		return "Linux 32-bit"
	case PVH:
		return "PVH"
	}
	return "unknown protocol"
}

// Range is Size bytes of guest-physical memory from Base on.
type Range struct{ Base, Size uint64 }

// End returns the first address after the range.
func (r Range) End() uint64 { return r.Base + r.Size }

// Result is what Load did.
type Result struct {
	// Entry is the state to start the boot processor in.
	Entry *Entry
	// Protocol is how the kernel is started.
	Protocol Protocol
	// Version is the kernel's own description of itself; empty if it has none.
	Version string
	// Kernel is the RAM that the kernel takes to start, Initrd where the
	// initial ramdisk lies (Size is 0 without one).
	Kernel, Initrd Range
	// Unpacked is the format that the host unpacked the kernel from;
	// payload.Unknown if it did not.
	Unpacked payload.Format
	// Randomized tells whether the host chose the kernel's address, and
	// VirtualOffset how far it moved the kernel's virtual addresses from
	// those it was linked for, in bytes.
	Randomized    bool
	VirtualOffset uint64
	// MemoryMap is what the guest was told.
	MemoryMap []E820Entry
}

// Load loads the kernel and the initial ramdisk into mem and returns how to
// start the boot processor. It may be called again on the same RAM to reboot.
//
// Errors say which file is at fault and name what a file looks like that is
// no kernel. After an error the content of the RAM is undefined.
func Load(ctx context.Context, mem Memory, cfg Config) (*Result, error) {
	l, err := newLoader(mem, cfg)
	if err != nil {
		return nil, err
	}
	// The initial ramdisk may still be on its way when the kernel fails:
	// whatever happens, nobody writes to guest RAM after Load returned.
	ctx, cancel := context.WithCancel(ctx)
	err = l.load(ctx)
	if err != nil {
		cancel()
	}
	err = errors.Join(err, l.waitInitrd(err != nil))
	cancel()
	if err != nil {
		return nil, err
	}
	if err := writeGDT(mem, l.result.Entry); err != nil {
		return nil, fmt.Errorf("GDT: %w", err)
	}
	l.log.Debug("kernel loaded", "protocol", l.result.Protocol, "version", l.result.Version,
		"kernel_bytes", l.result.Kernel.Size, "initrd_bytes", l.result.Initrd.Size,
		"unpacked", l.result.Unpacked != payload.Unknown, "randomized", l.result.Randomized)
	return &l.result, nil
}

// loader is one call of Load under way.
type loader struct {
	Config
	mem    Memory
	log    *slog.Logger
	arena  *arena
	initrd chan error // non-nil while the initial ramdisk is being read
	result Result
}

func newLoader(mem Memory, cfg Config) (*loader, error) {
	l := &loader{Config: cfg, mem: mem, log: cfg.Log}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.Rand == nil {
		l.Rand = rand.Reader
	}
	if l.Kernel == nil {
		return nil, blame(PartKernel, errors.New("no file given"))
	}
	if strings.IndexByte(cfg.Cmdline, 0) >= 0 {
		return nil, blame(PartCmdline, errors.New("contains a zero byte"))
	}
	m, err := E820Map(cfg.LowRAM, cfg.HighRAM, cfg.Reserved)
	if err != nil {
		return nil, err
	}
	for _, r := range cfg.Reserved {
		if r.Base < LowEnd {
			return nil, fmt.Errorf("memory map: %v is in the first %d bytes, which the kernel's boot parameters need", r, LowEnd)
		}
	}
	l.arena = newArena(m)
	l.result.MemoryMap = m
	return l, nil
}

// load tells the kernel formats apart.
func (l *loader) load(ctx context.Context) error {
	head := make([]byte, min(headLen, l.Kernel.Size()))
	if err := payload.ReadAt(ctx, l.Kernel, head, 0); err != nil {
		return blame(PartKernel, err)
	}
	whole := io.NewSectionReader(l.Kernel, 0, l.Kernel.Size())
	format := payload.Detect(head)
	var err error
	switch {
	case isBzImage(head):
		err = l.loadBzImage(ctx, head)
	case format.Supported():
		err = l.loadELFFile(ctx, format, whole)
	default:
		err = fmt.Errorf("not a kernel: %s", describe(head, l.Kernel))
	}
	return blame(PartKernel, err)
}

// compressedELFMax bounds what a kernel compressed as a whole may unpack to,
// in bytes: one with all its debugging information stays well below.
const compressedELFMax = 4 << 30

// loadELFFile loads an ELF file, which may be compressed as a whole.
func (l *loader) loadELFFile(ctx context.Context, f payload.Format, file *io.SectionReader) error {
	limit := file.Size()
	if f != payload.ELF {
		limit = compressedELFMax
		l.result.Unpacked = f
	}
	r, err := payload.Open(f, file, limit)
	if err != nil {
		return err
	}
	defer r.Close()
	head, err := r.Peek(headLen)
	if err != nil {
		return err
	}
	if payload.Detect(head) != payload.ELF {
		return fmt.Errorf("not a kernel: %s file with something else than an ELF kernel inside: %s", f, describe(head, nil))
	}
	return l.loadELF(ctx, r)
}

// writeCmdline writes the command line, which may have up to limit bytes.
func (l *loader) writeCmdline(limit int) error {
	limit = min(limit, CmdlineMax-1)
	if len(l.Cmdline) > limit {
		return blame(PartCmdline, fmt.Errorf("command line has %d bytes, and this kernel takes at most %d", len(l.Cmdline), limit))
	}
	return l.mem.WriteAt(append([]byte(l.Cmdline), 0), CmdlineBase)
}
