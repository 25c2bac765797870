package vmm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/kvm"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/vmm/coredump"
)

// ErrDumping is the answer to what would disturb a core dump that is being written,
// and the Err of EventPaused while one is.
var ErrDumping = errors.New("a core dump is being written")

// ErrNoDump is the answer of CancelDump while no core dump is being written, and
// ErrDumpCanceled that of the dump that it ends.
var (
	ErrNoDump       = errors.New("no core dump is being written")
	ErrDumpCanceled = errors.New("the core dump was canceled")
)

// errDumpWanted and errNMIWanted are what the watchdog stops the machine for, a moment.
var (
	errDumpWanted = errors.New("the watchdog wants a core dump")
	errNMIWanted  = errors.New("the watchdog gives the guest a non-maskable interrupt")
)

// DumpOptions are how a core dump is written.
type DumpOptions struct {
	// Compress makes the file a zstd stream.
	Compress bool
	// Progress is called, if it is not nil, with the bytes of RAM that are done, of
	// how many. It must not wait.
	Progress func(done, total uint64)
}

// DumpState is how a core dump stands.
type DumpState int

const (
	DumpNone DumpState = iota // there was none
	DumpActive
	DumpCompleted
	DumpFailed
)

// DumpStatus tells of the core dump that is being written, or of the last one.
type DumpStatus struct {
	State       DumpState
	Path        string
	Done, Total uint64 // bytes of RAM
}

// dump is a core dump that is being written.
type dump struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	path    string
	options DumpOptions
	content coredump.Machine
	total   uint64
	done    atomic.Uint64
	written chan struct{} // closed when the file is finished, or gone
	err     error         // what came of it, from then on
	// resume lets the machine go on afterwards. The supervisor's.
	resume bool
	// then is what comes instead, if it is not nil.
	then func()
}

// Dump writes the guest's memory and its processors' registers to a file, as package
// coredump has it, and returns when that is done. A machine that runs is paused
// meanwhile. It also works on a machine that is preserved after its end. When ctx is
// done, or the machine destroyed, the file is removed.
func (m *Machine) Dump(ctx context.Context, path string, o DumpOptions) error {
	var d *dump
	if err := m.do(ctx, func() (err error) { d, err = m.beginDump(ctx, path, o); return err }); err != nil {
		return fmt.Errorf("core dump %s: %w", path, err)
	}
	err := d.write()
	// Its only error is that the machine was destroyed meanwhile; then err tells it.
	_ = m.do(context.WithoutCancel(ctx), func() error { m.endDump(d); return nil })
	return err
}

// CancelDump ends the core dump that is being written, whoever wanted it. Its file is
// removed, and the machine goes on as after a dump that failed: soon after the return.
func (m *Machine) CancelDump(ctx context.Context) error {
	return m.do(ctx, func() error {
		if m.dump == nil {
			return ErrNoDump
		}
		m.dump.cancel(ErrDumpCanceled)
		return nil
	})
}

// DumpStatus tells of the core dump that is being written, or of the last one.
func (m *Machine) DumpStatus() DumpStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.dump; d != nil {
		return DumpStatus{DumpActive, d.path, d.done.Load(), d.total}
	}
	return m.lastDump
}

// beginDump pauses the machine and notes what is to be written. The supervisor calls
// it, and endDump.
func (m *Machine) beginDump(ctx context.Context, path string, o DumpOptions) (_ *dump, err error) {
	if m.dump != nil {
		return nil, ErrDumping
	}
	d := &dump{path: path, options: o, written: make(chan struct{})}
	if m.State() == StateRunning {
		d.resume = true
		if err := m.pause(ErrDumping); err != nil {
			return nil, err
		}
	}
	if d.content, err = m.coreContent(); err != nil {
		if d.resume {
			err = errors.Join(err, m.resume())
		}
		return nil, err
	}
	d.total = d.content.Size()
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	m.mu.Lock()
	m.dump = d
	m.mu.Unlock()
	m.log.Info("writing a core dump", "path", path, "bytes", d.total)
	return d, nil
}

// write writes the file. It runs beside the supervisor.
func (d *dump) write() error {
	defer close(d.written)
	defer d.cancel(nil)
	d.err = coredump.WriteFile(d.ctx, d.path, d.content, coredump.Options{
		Compress: d.options.Compress,
		Progress: func(done uint64) {
			d.done.Store(done)
			if d.options.Progress != nil {
				d.options.Progress(done, d.total)
			}
		},
	})
	return d.err
}

// endDump tells of a dump's end and lets the machine go on.
func (m *Machine) endDump(d *dump) {
	err := d.err
	status := DumpStatus{DumpCompleted, d.path, d.done.Load(), d.total}
	if err != nil {
		status.State = DumpFailed
		m.log.Error("the core dump failed", "error", err)
	} else {
		m.log.Info("the core dump is complete", "path", d.path)
	}
	m.mu.Lock()
	m.dump, m.lastDump = nil, status
	m.mu.Unlock()
	m.events.publish(Event{Kind: EventDumped, Dump: status, Err: err})
	switch {
	case d.then != nil:
		d.then()
	case d.resume:
		if err := m.resume(); err != nil {
			m.finish(Exit{Cause: CauseHost, Source: "core dump", Detail: err.Error()})
		}
	}
}

// abandonDump stops a dump, for a machine that ends.
func (m *Machine) abandonDump() {
	d := m.dump
	if d == nil {
		return
	}
	d.cancel(errors.New("the machine was stopped"))
	<-d.written
	d.then, d.resume = nil, false
	m.endDump(d)
}

// autoDump writes a core dump to the directory for those that nobody asked for, and
// calls then, unless that is nil, in place of letting the guest go on. A dump that
// fails is logged, and changes nothing else.
func (m *Machine) autoDump(then func()) {
	path, err := m.dumpPath()
	var d *dump
	if err == nil {
		d, err = m.beginDump(context.Background(), path, DumpOptions{})
	}
	if err != nil {
		m.log.Error("no core dump", "error", err)
		switch {
		case then != nil:
			then()
		case m.dump == nil && m.State() == StateRunning:
			m.gate.open()
		}
		return
	}
	d.then = then
	go func() {
		_ = d.write()                                                             // endDump tells
		_ = m.do(context.Background(), func() error { m.endDump(d); return nil }) // or it was destroyed
	}()
}

// dumpPath is the name of a new core dump.
func (m *Machine) dumpPath() (string, error) {
	dir := m.options.DumpDir
	if dir == "" {
		var err error
		if dir, err = DumpDirectory(); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	name := strings.ReplaceAll(m.Name(), "/", "_")
	return filepath.Join(dir, name+"-"+time.Now().UTC().Format("20060102T150405.000Z")+".core"), nil
}

// DumpDirectory is where core dumps go that nobody asked for, those of on_crash and of
// a watchdog: /var/lib/govmm/dump for root, and $XDG_STATE_HOME/govmm/dump or
// ~/.local/state/govmm/dump for others. Options.DumpDir is another one.
func DumpDirectory() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/govmm/dump", nil
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "govmm", "dump"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no directory for core dumps: %w", err)
	}
	return filepath.Join(home, ".local", "state", "govmm", "dump"), nil
}

// coreContent is what goes into a core dump. No vCPU is inside the gate.
func (m *Machine) coreContent() (c coredump.Machine, err error) {
	for _, r := range m.ram.Regions() {
		if r.Kind == memory.RAM {
			c.Regions = append(c.Regions, coredump.Region{GPA: r.GPA, Memory: r.Host})
		}
	}
	for _, v := range m.cpus {
		cpu, err := coreCPU(v.kvm)
		if err != nil {
			return c, fmt.Errorf("%s: %w", v.name(), err)
		}
		c.CPUs = append(c.CPUs, cpu)
	}
	return c, nil
}

// msrKernelGSBase is IA32_KERNEL_GS_BASE (Intel SDM volume 4).
const msrKernelGSBase = 0xC0000102

func coreCPU(c *kvm.VCPU) (coredump.CPU, error) {
	r, err := c.Regs()
	if err != nil {
		return coredump.CPU{}, err
	}
	s, err := c.SRegs()
	if err != nil {
		return coredump.CPU{}, err
	}
	base := []kvm.MSREntry{{Index: msrKernelGSBase}}
	if _, err := c.MSRs(base); err != nil {
		return coredump.CPU{}, err
	}
	return coredump.CPU{
		RAX: r.RAX, RBX: r.RBX, RCX: r.RCX, RDX: r.RDX, RSI: r.RSI, RDI: r.RDI, RSP: r.RSP, RBP: r.RBP,
		R8: r.R8, R9: r.R9, R10: r.R10, R11: r.R11, R12: r.R12, R13: r.R13, R14: r.R14, R15: r.R15,
		RIP: r.RIP, RFLAGS: r.RFLAGS,
		CS: coreSegment(s.CS), DS: coreSegment(s.DS), ES: coreSegment(s.ES), FS: coreSegment(s.FS),
		GS: coreSegment(s.GS), SS: coreSegment(s.SS), LDT: coreSegment(s.LDT), TR: coreSegment(s.TR),
		GDT: coredump.Segment{Base: s.GDT.Base, Limit: uint32(s.GDT.Limit)},
		IDT: coredump.Segment{Base: s.IDT.Base, Limit: uint32(s.IDT.Limit)},
		CR0: s.CR0, CR2: s.CR2, CR3: s.CR3, CR4: s.CR4,
		KernelGSBase: base[0].Data,
	}, nil
}

// coreSegment puts a segment's attributes where a descriptor has them (Intel SDM
// volume 3, figure 3-8).
func coreSegment(s kvm.Segment) coredump.Segment {
	flags := uint32(s.Typ)<<8 | uint32(s.S)<<12 | uint32(s.DPL)<<13 | uint32(s.Present)<<15 |
		uint32(s.AVL)<<20 | uint32(s.L)<<21 | uint32(s.DB)<<22 | uint32(s.G)<<23
	return coredump.Segment{Selector: s.Selector, Base: s.Base, Limit: s.Limit, Flags: flags}
}

// dumps reports whether an action begins with a core dump.
func dumps(a domcfg.Action) bool {
	return a == domcfg.ActionCoredumpDestroy || a == domcfg.ActionCoredumpRestart
}
