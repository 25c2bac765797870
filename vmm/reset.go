package vmm

import (
	"context"
	"errors"
	"fmt"

	"github.com/govmm/govmm/kvm"
)

// resetState is what KVM gave the machine at its creation, and what a reset
// gives it again.
type resetState struct {
	msrList []uint32
	hasXCRS bool
	vcpus   []*vcpuState
	pic     [2]kvm.PICState
	ioapic  kvm.IOAPICState
}

// readIRQChips notes the state of the interrupt controllers. level is which of the
// second PIC's inputs are level-triggered at reset.
func (r *resetState) readIRQChips(vm *kvm.VM, level uint8) error {
	var errs [3]error
	r.pic[0], errs[0] = vm.PIC(kvm.PICMaster)
	r.pic[1], errs[1] = vm.PIC(kvm.PICSlave)
	r.ioapic, errs[2] = vm.IOAPIC()
	r.pic[1].ELCR = level
	if err := errors.Join(errs[:]...); err != nil {
		return hostError(err)
	}
	return r.writeIRQChips(vm)
}

func (r *resetState) writeIRQChips(vm *kvm.VM) error {
	return errors.Join(
		vm.SetPIC(kvm.PICMaster, r.pic[0]),
		vm.SetPIC(kvm.PICSlave, r.pic[1]),
		vm.SetIOAPIC(r.ioapic),
	)
}

func (r *resetState) readVCPU(c *kvm.VCPU) error {
	s, err := readState(c, r.msrList, r.hasXCRS)
	if err != nil {
		return err
	}
	r.vcpus = append(r.vcpus, s)
	return nil
}

// resetAll puts the whole machine into its power-on state and loads what it
// boots. No vCPU is inside the gate, and the clock is paused.
func (m *Machine) resetAll(ctx context.Context) error {
	m.board.reset()
	if err := m.initial.writeIRQChips(m.vm); err != nil {
		return err
	}
	for i, v := range m.cpus {
		if err := writeState(v.kvm, m.initial.vcpus[i]); err != nil {
			return err
		}
	}
	if err := m.alignTSC(); err != nil {
		return err
	}
	m.ram.DiscardAll()
	return m.load(ctx)
}

// restart resets a machine that runs, for the reason e, and lets it go on.
func (m *Machine) restart(ctx context.Context, e Exit) error {
	m.gate.shut()
	m.gate.drain()
	m.clock.Pause()
	m.rebooting = false
	if err := m.resetAll(ctx); err != nil {
		return fmt.Errorf("cannot restart the machine: %w", err)
	}
	m.events.publish(Event{Kind: EventReset, Exit: e})
	if m.preserved != nil {
		m.preserved = nil
		m.setState(StateRunning)
		m.board.resume()
	}
	if m.State() == StateRunning {
		m.clock.Resume()
		m.gate.open()
	}
	return nil
}
