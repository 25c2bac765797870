package vmm

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/kvm"
)

// The wires of the board into the in-kernel controllers. GSI 0-15 are the ISA
// interrupts, which reach both the PICs and the I/O APIC; 16-23 reach the I/O
// APIC alone. The PIT's IRQ 0 is at pin 2 of the I/O APIC, where the PIC's
// cascade would be, as on every PC; the tables in package boot say the same. The
// HPET can be routed to that pin without the PIC.
const (
	irqTimer     = 0
	irqKeyboard  = 1
	irqHPET      = ioapicTimer // a GSI for that input of the I/O APIC alone
	irqRTC       = 8
	irqSCI       = 9
	irqMouse     = 12
	isaIRQs      = 16
	ioapicTimer  = 2
	picIRQs      = 8
	elcrSlaveSet = 1<<(9-8) | 1<<(10-8) | 1<<(11-8) // SCI and PCI are level-triggered
)

// routes are the connections that KVM_SET_GSI_ROUTING makes at start.
func routes() []kvm.Route {
	// The HPET's comes first: of two GSIs at one pin, KVM tells the end of an
	// interrupt as that of the last, which is the one that leads to the PIC too.
	r := []kvm.Route{kvm.RouteToPin(irqHPET, kvm.IOAPIC, ioapicTimer)}
	for gsi := range uint32(kvm.IOAPICPins) {
		if gsi == irqHPET {
			continue
		}
		if gsi < picIRQs {
			r = append(r, kvm.RouteToPin(gsi, kvm.PICMaster, gsi))
		} else if gsi < isaIRQs {
			r = append(r, kvm.RouteToPin(gsi, kvm.PICSlave, gsi-picIRQs))
		}
		pin := gsi
		if gsi == irqTimer {
			pin = ioapicTimer
		}
		r = append(r, kvm.RouteToPin(gsi, kvm.IOAPIC, pin))
	}
	return r
}

// line is a level at an input of the controllers.
type line struct {
	vm  *kvm.VM
	gsi uint32
	log *slog.Logger

	mu       sync.Mutex // held across the ioctl: the last Set must win
	asserted bool
}

func newLine(vm *kvm.VM, gsi uint32, log *slog.Logger) irq.Line {
	return &line{vm: vm, gsi: gsi, log: log}
}

// Set drives the input. A level that it has already costs no system call.
func (l *line) Set(asserted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asserted == asserted {
		return
	}
	l.asserted = asserted
	if err := l.vm.IRQLine(l.gsi, asserted); err != nil {
		l.log.Error("interrupt lost", "irq", l.gsi, "error", err)
	}
}

// pulse is an edge at an input of the controllers, for a timer whose ticks count.
//
// KVM tells of an edge whether a PIC took it, but counts every edge that reaches
// a local APIC as taken, pending or not. It does tell, by the second eventfd of a
// "resampling" irqfd, when the guest has ended an interrupt of the input, and
// that is what is asked here: until then the next edge is coalesced. Nobody sleeps
// on that eventfd. It is looked at when the timer fires, so that however a guest
// ends its interrupts, or does not, no more edges come than the timer's ticks.
type pulse struct {
	vm    *kvm.VM
	gsi   uint32
	log   *slog.Logger
	ended *kvm.EventFD // nil where KVM cannot tell
	now   func() time.Duration

	mu      sync.Mutex
	pending bool
	raised  time.Duration // when, if pending
}

// endPatience is for how long the end of an interrupt is waited for. Then the edge
// is given again: to one that is still pending that makes no difference, and
// one that the guest's set-up of the controllers has swallowed is replaced.
const endPatience = 10 * time.Millisecond

// newPulse makes a pulse into gsi. The end of its interrupts is told as that of
// ends, another GSI at the same pin, or the same. The machine's end closes what
// it takes.
func (m *Machine) newPulse(gsi, ends uint32) (*pulse, error) {
	p := &pulse{vm: m.vm, gsi: gsi, log: m.log, now: m.clock.Now}
	if m.vm.CheckExtension(kvm.CapIRQFDResample) == 0 || avic(os.DirFS("/sys")) {
		return p, nil
	}
	var c closer
	m.closer.add(c.Close)
	trigger, err := kvm.NewEventFD() // which nobody signals
	if err != nil {
		return nil, err
	}
	c.add(trigger.Close)
	ended, err := kvm.NewEventFD()
	if err != nil {
		return nil, err
	}
	c.add(ended.Close)
	if err := m.vm.AssignIRQFDResample(trigger.FD(), ended.FD(), ends); err != nil {
		return nil, hostError(fmt.Errorf("interrupt %d: %w", gsi, err))
	}
	c.add(func() error { return m.vm.DeassignIRQFD(trigger.FD(), ends) })
	p.ended = ended
	return p, nil
}

// avic tells whether the host's processors may end interrupts of guests by
// themselves (AMD's AVIC; AMD64 APM volume 2, section 15.29). KVM then does not
// hear of the ends of edges. Intel's do tell, of the vectors that KVM asks for.
func avic(sys fs.FS) bool {
	text, err := fs.ReadFile(sys, "module/kvm_amd/parameters/avic")
	on := strings.TrimSpace(string(text))
	return err == nil && on != "N" && on != "0"
}

// Fire raises and lowers the input, unless an earlier interrupt has not ended.
func (p *pulse) Fire() irq.Delivery {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		// Read also when nothing is pending: others share the input.
		if n, err := p.ended.TryWait(); err == nil && n > 0 {
			p.pending = false
		}
	}
	again := p.pending
	if again && p.now()-p.raised < endPatience {
		return irq.Coalesced
	}
	d := p.raise()
	p.pending, p.raised = d != irq.Masked && p.ended != nil, p.now()
	if again && d == irq.Delivered {
		return irq.Coalesced // the same tick once more
	}
	return d
}

func (p *pulse) raise() irq.Delivery {
	status, err := p.vm.IRQLineStatus(p.gsi, true)
	if err == nil {
		err = p.vm.IRQLine(p.gsi, false)
	}
	switch {
	case err != nil:
		p.log.Error("interrupt lost", "irq", p.gsi, "error", err)
		return irq.Masked
	case status < 0:
		return irq.Masked
	case status == 0:
		return irq.Coalesced
	}
	return irq.Delivered
}

var (
	_ irq.Line  = (*line)(nil)
	_ irq.Pulse = (*pulse)(nil)
)
