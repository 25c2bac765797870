package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/boot/bootloader"
	"github.com/govmm/govmm/boot/firmware"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/kvm"
	"github.com/govmm/govmm/memory"
)

// bootFiles are the files that a machine boots from. They stay open as long as it
// lives, so that a restart boots the same, also when the files were replaced
// meanwhile.
type bootFiles struct {
	kernelPath, initrdPath, cmdline string

	kernel, initrd boot.Image
	firmware       *firmware.Image // nil: the guest is started in the kernel
	shadow         *shadow
}

// runBootloader asks the host bootloader of the domain, if it has one, what to
// boot. Else that is what os says.
func (m *Machine) runBootloader(ctx context.Context) error {
	o := m.domain.OS
	m.boot.kernelPath, m.boot.initrdPath, m.boot.cmdline = o.Kernel, o.Initrd, o.Cmdline
	if m.domain.Bootloader == "" {
		return nil
	}
	index, ok := m.domain.BootloaderDisk()
	if !ok {
		return errors.New("bootloader: there is no hard disk for it to look at")
	}
	result, err := bootloader.Run(ctx, bootloader.Options{
		Path:    m.domain.Bootloader,
		Args:    m.domain.BootloaderArgs,
		Disk:    m.domain.Devices.Disks[index].SourcePath(),
		Cmdline: o.Cmdline,
		Log:     m.log,
	})
	if err != nil {
		return fmt.Errorf("bootloader: %w", err)
	}
	m.closer.add(result.Cleanup)
	m.boot.kernelPath, m.boot.initrdPath, m.boot.cmdline = result.Kernel, result.Ramdisk, result.Args
	return nil
}

// openBoot opens the files that the domain boots from.
func (m *Machine) openBoot(context.Context) error {
	for _, f := range []struct {
		what, path string
		image      *boot.Image
	}{
		{"os/kernel", m.boot.kernelPath, &m.boot.kernel},
		{"os/initrd", m.boot.initrdPath, &m.boot.initrd},
	} {
		if f.path == "" {
			continue
		}
		file, size, err := openRegular(f.path)
		if err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
		m.closer.add(file.Close)
		*f.image = io.NewSectionReader(file, 0, size)
	}
	if m.domain.BootsDirectly() {
		return nil
	}
	return m.openFirmware()
}

// openRegular opens a file for reading, and refuses what is not a regular file
// without waiting for it (a FIFO without a writer, say).
func openRegular(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a directory", path)
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", path)
	case info.Size() == 0:
		err = fmt.Errorf("%s is empty", path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// load puts what the guest starts with into RAM and sets up the vCPUs. With
// firmware there is nothing to do: the ROM is in its place, and the vCPUs are as
// a reset leaves them.
func (m *Machine) load(ctx context.Context) error {
	if m.boot.firmware != nil {
		return nil
	}
	low, high := memory.Split(ramSize(m.domain))
	cfg := boot.Config{
		Kernel:    m.boot.kernel,
		Initrd:    m.boot.initrd,
		Cmdline:   m.boot.cmdline,
		LowRAM:    low,
		HighRAM:   high,
		ZeroedRAM: true, // fresh, or discarded by the reset
		Rand:      m.options.Rand,
		Log:       m.log,
	}
	if err := m.writeTables(&cfg); err != nil {
		return err
	}
	result, err := boot.Load(ctx, m.ram, cfg)
	if err != nil {
		return m.bootError(err)
	}
	return m.setEntry(result.Entry, low)
}

// bootError names the element of the domain, and the file, that is at fault.
func (m *Machine) bootError(err error) error {
	e := (*boot.Error)(nil)
	if !errors.As(err, &e) {
		return fmt.Errorf("os: %w", err)
	}
	switch e.Part {
	case boot.PartKernel:
		return fmt.Errorf("os/kernel: %s: %w", m.boot.kernelPath, e.Err)
	case boot.PartInitrd:
		return fmt.Errorf("os/initrd: %s: %w", m.boot.initrdPath, e.Err)
	}
	return fmt.Errorf("os/%w", e)
}

// setEntry brings the boot processor to the kernel's entry, and all processors
// into the state in which a BIOS would leave them.
func (m *Machine) setEntry(e *boot.Entry, low uint64) error {
	for i, v := range m.cpus {
		msrs := firmwareMSRs(m.initial.vcpus[i].msrs, low, m.cpuid.physicalBits())
		if _, err := v.kvm.SetMSRs(msrs); err != nil {
			return hostError(fmt.Errorf("vCPU %d: %w", i, err))
		}
	}
	bsp := m.cpus[0].kvm
	initial := m.initial.vcpus[0]
	lapic := initial.lapic
	virtualWire(&lapic)
	return errors.Join(
		bsp.SetLAPIC(lapic),
		bsp.SetSRegs(entrySRegs(initial.sregs, e)),
		bsp.SetRegs(kvm.Regs{RIP: e.RIP, RSP: e.RSP, RSI: e.RSI, RBX: e.RBX, RFLAGS: e.RFLAGS}),
	)
}

// entrySRegs is the reset state with what an Entry says.
func entrySRegs(s kvm.SRegs, e *boot.Entry) kvm.SRegs {
	s.CR0, s.CR3, s.CR4, s.EFER = e.CR0, e.CR3, e.CR4, e.EFER
	s.CS = segment(e.CS)
	data := segment(e.Data)
	s.DS, s.ES, s.FS, s.GS, s.SS = data, data, data, data, data
	s.TR, s.LDT = segment(e.TR), segment(e.LDT)
	s.GDT = kvm.Descriptor{Base: e.GDT.Base, Limit: e.GDT.Limit}
	s.IDT = kvm.Descriptor{Base: e.IDT.Base, Limit: e.IDT.Limit}
	return s
}

func segment(s boot.Segment) kvm.Segment {
	bit := func(b bool) uint8 {
		if b {
			return 1
		}
		return 0
	}
	out := kvm.Segment{
		Base: s.Base, Limit: s.Limit, Selector: s.Selector, Typ: s.Type, DPL: s.DPL,
		Present: bit(s.Present), S: bit(s.S), L: bit(s.L), DB: bit(s.DB), G: bit(s.G), AVL: bit(s.AVL),
	}
	out.Unusable = 1 - out.Present
	return out
}

// CheckDomain checks what can be checked of a domain on this host without
// building the machine: KVM, memory limits, and the files it names. Its errors
// are those of New.
func CheckDomain(ctx context.Context, d *domcfg.Domain, o Options) error {
	if r := domcfg.Unsupported(d); len(r) > 0 {
		return &UnsupportedError{r}
	}
	if err := prepare(d); err != nil {
		return err
	}
	m := &Machine{domain: d, options: o}
	m.boot.kernelPath, m.boot.initrdPath = d.OS.Kernel, d.OS.Initrd // a bootloader is not run
	_, memoryErr := m.memoryConfig()
	err := errors.Join(
		checkMemory(ramSize(d)),
		memoryErr,
		m.findCPUs(ctx),
		m.createVM(ctx),
		m.openBoot(ctx),
	)
	return errors.Join(err, m.closer.Close())
}
