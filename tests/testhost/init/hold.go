package main

import (
	"errors"
	"io/fs"

	"github.com/govmm/govmm/kvm"
)

// holdMachine makes a virtual machine that never runs and stays until the end, if
// there is a KVM.
//
// The first machine and the last one, and the first processor whose APIC is off
// and the last one, have the kernel change its own code: the scheduler's
// (preempt_notifier_key) and KVM's (apic_sw_disabled). While it does so there is a
// breakpoint (INT3) in the way of the other processors, which wait until it has gone. QEMU's
// code generator, where a processor may go on with a translation of what was there
// before, can have one run into that breakpoint for ever, in the scheduler with interrupts
// off; then this whole machine stands still. So the code is changed once, here.
func holdMachine() error {
	sys, err := kvm.Open("")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	vm, err := sys.CreateVM()
	if err != nil {
		return err
	}
	if err := vm.CreateIRQChip(); err != nil {
		return err
	}
	_, err = vm.CreateVCPU(0)
	return err
}
