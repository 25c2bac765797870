package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/govmm/govmm/block/nbd"
	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/devices/vga"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/kvm"
	"github.com/govmm/govmm/memory"
)

// Options are what a domain file does not say. The zero value is usable.
type Options struct {
	// Log takes what happens to the machine; nil discards it.
	Log *slog.Logger
	// Device is the KVM device; "" is /dev/kvm.
	Device string
	// Stdin and Stdout are the host end of character devices of type stdio.
	// Nil means no input, and output to nowhere. They are not closed.
	Stdin  io.Reader
	Stdout io.Writer
	// TLSDir has the certificates and keys of character devices with TLS, named as
	// chardev.ServerTLS and ClientTLS say; "" is DefaultTLSDir.
	TLSDir string
	// RuntimeDir is where the sockets are made that the domain gives no path: of
	// virtual consoles (type vc), which "" leaves without, and of channels, for
	// which it is an error. It must exist.
	RuntimeDir string
	// OwnsProcess says that the process is there for this machine alone, as that of "govmm
	// run" is. What can only be had for a process is then done to it: it runs on the CPUs of
	// <vcpu cpuset=> or <emulatorpin>, and is in a control group with the limits of <memtune>,
	// <blkiotune> and <cputune>, until Close. Otherwise the vCPUs' threads alone are placed, and
	// limits are an error.
	OwnsProcess bool
	// DebugExit gives the guest a port that ends the machine with a number, at
	// 0xF4, as QEMU's isa-debug-exit does. Test kernels use it.
	DebugExit bool
	// DumpDir is where core dumps go that nobody asked for, those of on_crash and of a
	// watchdog. "" is DumpDirectory. It is made if need be.
	DumpDir string
	// Rename, if it is not nil, is told the name that the machine gets by
	// rename-restart, before it has it. It answers with an ErrNameTaken when another
	// machine has the name.
	Rename func(name string) error
	// Wall is the time of day that the guest's clock shows; nil is the host's.
	Wall func() time.Time
	// Secret gives the passphrase of an encrypted disk by the UUID that the domain
	// has for it; nil is HostSecret. What it returns is overwritten after use.
	Secret func(ctx context.Context, uuid domcfg.UUID) ([]byte, error)
	// MemoryProgress is called, if it is not nil, with the bytes of RAM that have been taken
	// from the host, of how many, while New takes all of them: for <hugepages>, <locked> and
	// <allocation mode="immediate">. It must not wait.
	MemoryProgress func(done, total uint64)
	// Rand is the source of the guest's boot-time randomness; nil is the
	// host's. A test that needs the same boot every time sets it.
	Rand io.Reader
	// NBDCertificates is the directory of the certificates for network disks with
	// tls="yes", laid out as nbd.LoadTLS says. "" is /etc/pki/libvirt-nbd or, if
	// that is not there, /etc/pki/qemu.
	NBDCertificates string
}

// ErrNotRunning is the answer to a request that only a started machine that
// has not ended can fulfil.
var ErrNotRunning = errors.New("the machine is not running")

// UnsupportedError is a domain that is valid but needs what this version does
// not have.
type UnsupportedError struct{ Refusals []domcfg.Refusal }

// Error lists what is refused, a line each.
func (e *UnsupportedError) Error() string {
	s := "not supported:"
	for _, r := range e.Refusals {
		s += fmt.Sprintf("\n%v", r)
	}
	return s
}

// Machine is one virtual machine.
type Machine struct {
	domain  *domcfg.Domain
	options Options
	log     *slog.Logger

	vm      *kvm.VM
	cpuid   *cpuidTable
	ram     *memory.Memory
	clock   *clock.Host
	ports   *bus.Bus
	mmio    *bus.Bus
	board   *board
	boot    bootFiles
	slots   *slots
	cpus    []*vcpu
	initial resetState
	gate    *gate
	closer  closer

	placement placement

	connections []*nbd.Client // of disks; Close has them give up lost servers

	events   eventHub
	requests chan Exit     // from the guest; the first one counts
	stops    chan error    // from devices that cannot go on; the first one counts
	commands chan func()   // from the program; run by supervise
	ended    chan struct{} // closed when supervise has finished
	threads  sync.WaitGroup
	paused   kvm.ClockData // kvmclock when the machine was paused

	watchdogAction atomic.Value // a domcfg.WatchdogAction
	preserved      *Exit        // how the guest ended, if the machine was kept; the supervisor's
	restarts       int          // under another name; the supervisor's
	rebooting      bool         // the guest was asked to switch itself off for a reset; the supervisor's
	ending         bool         // the machine is to end with its guest; the supervisor's

	mu      sync.Mutex
	started bool
	closed  bool
	state   State
	exit    Exit
	name    string
	// dump is the core dump that is being written, or nil. The supervisor alone
	// changes it.
	dump     *dump
	lastDump DumpStatus
}

// New builds the machine that d describes and loads what it boots, without
// running it. It fills in d's defaults and addresses.
//
// The error is an *UnsupportedError for what this version cannot do, a
// *HostError when this host cannot run the machine, and otherwise names the
// file or device that could not be used. Nothing is left behind.
func New(ctx context.Context, d *domcfg.Domain, o Options) (_ *Machine, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if r := domcfg.Unsupported(d); len(r) > 0 {
		return nil, &UnsupportedError{r}
	}
	if err := prepare(d); err != nil {
		return nil, err
	}
	m := &Machine{
		domain:   d,
		name:     d.Name,
		options:  o,
		log:      o.Log,
		requests: make(chan Exit, 1),
		stops:    make(chan error, 1),
		commands: make(chan func()),
		ended:    make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.closer.Close())
		}
	}()
	for _, step := range []func(context.Context) error{
		m.runBootloader,
		m.openBoot,
		m.findCPUs,
		m.moveProcess,
		m.joinGroup, // before there are threads of the kernel that belong to the machine
		m.createVM,
		m.mapMemory,
		m.createIRQChips,
		m.createVCPUs,
		m.load,
		m.buildBoard, // last, as it opens and truncates the host's files
	} {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// createVM makes the KVM machine.
func (m *Machine) createVM(context.Context) error {
	sys, err := openKVM(m.options.Device)
	if err != nil {
		return err
	}
	m.closer.add(sys.Close)
	if n, most := int(m.domain.VCPU.Count), sys.MaxVCPUs(); n > most {
		return hostError(fmt.Errorf("vcpu: %d asked for, this host's KVM has at most %d", n, most))
	}
	if m.cpuid, err = newCPUIDTable(sys); err != nil {
		return hostError(err)
	}
	if m.initial.msrList, err = sys.MSRIndexList(); err != nil {
		return hostError(err)
	}
	m.initial.hasXCRS = sys.CheckExtension(kvm.CapXCRS) > 0
	if m.vm, err = sys.CreateVM(); err != nil {
		return hostError(err)
	}
	m.closer.add(m.vm.Close)
	m.slots = &slots{vm: m.vm}
	return hostError(errors.Join(m.vm.SetTSSAddr(kvmPages+kvm.PageSize), m.vm.SetIdentityMapAddr(kvmPages)))
}

// KVM has four pages for its own use on old Intel processors: below the largest
// firmware.
const (
	kvmPages     = 0xFEFFC000
	kvmPagesSize = 4 * kvm.PageSize
)

// createIRQChips makes the interrupt controllers. It comes after the memory
// slots: KVM registers their ports in a way that makes the next change of a slot
// wait for a grace period, seven milliseconds where it was measured.
func (m *Machine) createIRQChips(context.Context) error {
	if err := errors.Join(m.vm.CreateIRQChip(), m.vm.SetGSIRouting(routes())); err != nil {
		return hostError(err)
	}
	level := uint8(0)
	if m.domain.BootsDirectly() {
		level = elcrSlaveSet // as a BIOS leaves it
	}
	return m.initial.readIRQChips(m.vm, level)
}

// mapMemory maps the guest's RAM and gives it to KVM.
func (m *Machine) mapMemory(ctx context.Context) error {
	size := ramSize(m.domain)
	_, high := memory.Split(size)
	if high > 0 && !m.cpuid.fitsPhysical(memory.HighStart+high) {
		return hostError(fmt.Errorf("memory: %s does not fit this host's %d-bit guest-physical addresses",
			memory.FormatSize(size), m.cpuid.physicalBits()))
	}
	if err := m.backMemory(ctx); err != nil {
		return err
	}
	for _, r := range m.ram.Regions() {
		if err := m.mapRegion(r); err != nil {
			return hostError(err)
		}
	}
	return m.mapFirmware()
}

// mapRegion gives the guest a region of RAM, without the holes of a PC that are
// in it.
func (m *Machine) mapRegion(r memory.Region) error {
	var holes []boot.Range
	if !m.domain.BootsDirectly() {
		holes = append(holes, boot.Range{Base: vga.LegacyBase, Size: pci.ShadowEnd - vga.LegacyBase})
	} else if len(m.domain.Devices.Videos) > 0 {
		holes = append(holes, boot.Range{Base: vga.LegacyBase, Size: vga.LegacySize})
	}
	gpa, host := r.GPA, r.Host
	for _, h := range holes {
		if h.Base < gpa || h.End() >= gpa+uint64(len(host)) {
			continue
		}
		if _, err := m.slots.add(gpa, host[:h.Base-gpa], 0); err != nil {
			return err
		}
		gpa, host = h.End(), host[h.End()-gpa:]
	}
	_, err := m.slots.add(gpa, host, 0)
	return err
}

// checkMemory refuses a size that a limit on this process would not let the
// guest use: it would be killed once it does.
func checkMemory(size uint64) error {
	limit, limited, err := memory.HostLimit()
	if err != nil || !limited || size <= limit.Bytes {
		return err
	}
	return hostError(fmt.Errorf("memory: %s asked for, over the limit of %v", memory.FormatSize(size), limit))
}

// createVCPUs makes the vCPUs and notes their state, which a reset puts back.
func (m *Machine) createVCPUs(context.Context) error {
	n := int(m.domain.VCPU.Count)
	m.ports = bus.New("port", 1<<16)
	m.mmio = bus.New("memory", 0)
	if err := m.checkTSC(); err != nil {
		return err
	}
	for id := range n {
		c, err := m.vm.CreateVCPU(id)
		if err != nil {
			return hostError(fmt.Errorf("vCPU %d: %w", id, err))
		}
		m.closer.add(c.Close)
		if err := m.setTSC(c); err != nil {
			return err
		}
		if err := c.SetCPUID(m.timerFeatures(m.cpuid.forVCPU(uint32(id)))); err != nil {
			return hostError(fmt.Errorf("vCPU %d: %w", id, err))
		}
		if err := m.initial.readVCPU(c); err != nil {
			return hostError(err)
		}
		m.cpus = append(m.cpus, &vcpu{
			kvm: c, id: id, ports: m.ports, mmio: m.mmio, died: m.request,
			prepare: func() error { return m.prepareThread(id) },
		})
	}
	m.gate = newGate(n, func() {
		for _, v := range m.cpus {
			v.kick()
		}
	})
	for _, v := range m.cpus {
		v.gate = m.gate
	}
	return m.alignTSC()
}

// closer is a list of resources that are given back in the reverse order.
type closer struct{ list []func() error }

func (c *closer) add(f func() error) { c.list = append(c.list, f) }

// Close gives everything back, once, and reports everything that failed.
func (c *closer) Close() error {
	var errs []error
	for i := len(c.list) - 1; i >= 0; i-- {
		errs = append(errs, c.list[i]())
	}
	c.list = nil
	return errors.Join(errs...)
}
