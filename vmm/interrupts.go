package vmm

import (
	"log/slog"
	"sync"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/kvm"
)

// The wires of the board into the in-kernel controllers. GSI 0-15 are the ISA
// interrupts, which reach both the PICs and the I/O APIC; 16-23 reach the I/O
// APIC alone. The PIT's IRQ 0 is at pin 2 of the I/O APIC, where the PIC's
// cascade would be, as on every PC; the tables in package boot say the same.
const (
	irqTimer     = 0
	irqKeyboard  = 1
	irqCascade   = 2
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
	var r []kvm.Route
	for gsi := range uint32(kvm.IOAPICPins) {
		if gsi == irqCascade {
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

// pulse is an edge at an input of the controllers.
type pulse struct {
	vm  *kvm.VM
	gsi uint32
	log *slog.Logger
}

// Fire raises and lowers the input, and reports whether the raise was taken.
func (p *pulse) Fire() bool {
	status, err := p.vm.IRQLineStatus(p.gsi, true)
	if err == nil {
		err = p.vm.IRQLine(p.gsi, false)
	}
	if err != nil {
		p.log.Error("interrupt lost", "irq", p.gsi, "error", err)
		return false
	}
	return status > 0
}

var (
	_ irq.Line  = (*line)(nil)
	_ irq.Pulse = (*pulse)(nil)
)
