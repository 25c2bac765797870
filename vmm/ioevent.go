package vmm

import (
	"github.com/govmm/govmm/kvm"
	virtiopci "github.com/govmm/govmm/virtio/pci"
)

// ioEvents makes guest writes to a doorbell signal an eventfd inside KVM, so
// that they do not stop the vCPU.
type ioEvents struct {
	vm *kvm.VM
	// anyLength is KVM's own word for a doorbell of which the size does not
	// matter, which it finds without decoding the instruction.
	anyLength bool
}

func newIOEvents(vm *kvm.VM) *ioEvents {
	return &ioEvents{vm: vm, anyLength: vm.CheckExtension(kvm.CapIOEventFDAnyLength) > 0}
}

var _ virtiopci.IOEvents = (*ioEvents)(nil)

// BindIOEvent lets e's eventfd be signalled from now on.
func (i *ioEvents) BindIOEvent(e virtiopci.IOEvent) error { return i.vm.AssignIOEvent(i.event(e)) }

// UnbindIOEvent undoes BindIOEvent of an equal e.
func (i *ioEvents) UnbindIOEvent(e virtiopci.IOEvent) error { return i.vm.DeassignIOEvent(i.event(e)) }

func (i *ioEvents) event(e virtiopci.IOEvent) kvm.IOEvent {
	const doorbell = 2 // bytes, which is what a driver writes
	if e.Length == 0 && !i.anyLength {
		e.Length = doorbell
	}
	return kvm.IOEvent{FD: e.FD, Addr: e.Addr, PIO: e.Port, Len: uint32(e.Length), Match: e.Match, Data: e.Value}
}
