package kvm

import (
	"fmt"
	"unsafe"
)

type irqFD struct {
	fd         uint32
	gsi        uint32
	flags      uint32
	resampleFD uint32
	_          [16]byte
}

const (
	irqFDDeassign = 1 << 0
	irqFDResample = 1 << 1
)

// AssignIRQFD makes KVM raise gsi when the eventfd fd is signalled: one edge,
// or one message, each time. KVM keeps its own reference to fd.
func (vm *VM) AssignIRQFD(fd int, gsi uint32) error {
	return vm.irqFD(irqFD{fd: uint32(fd), gsi: gsi})
}

// AssignIRQFDResample is AssignIRQFD for a level-triggered line
// (CapIRQFDResample): gsi stays raised until the guest ends the interrupt;
// KVM then lowers it and signals resampleFD, and the owner of the line signals
// fd again if it still wants service.
func (vm *VM) AssignIRQFDResample(fd, resampleFD int, gsi uint32) error {
	return vm.irqFD(irqFD{
		fd: uint32(fd), gsi: gsi, flags: irqFDResample, resampleFD: uint32(resampleFD),
	})
}

// DeassignIRQFD undoes AssignIRQFD or AssignIRQFDResample.
func (vm *VM) DeassignIRQFD(fd int, gsi uint32) error {
	return vm.irqFD(irqFD{fd: uint32(fd), gsi: gsi, flags: irqFDDeassign})
}

func (vm *VM) irqFD(f irqFD) error {
	if _, err := ioctlPtr(vm.fd, reqIRQFD, unsafe.Pointer(&f)); err != nil {
		return fmt.Errorf("GSI %d: %w", f.gsi, err)
	}
	return nil
}

// IOEvent is a guest write that signals an eventfd instead of ending in a vCPU
// exit: a doorbell.
type IOEvent struct {
	FD   int    // the eventfd
	Addr uint64 // guest-physical address, or port
	PIO  bool   // Addr is a port
	Len  uint32 // 1, 2, 4 or 8 bytes; 0 is any (CapIOEventFDAnyLength)
	// Match restricts the doorbell to writes of Data; needs Len.
	Match bool
	Data  uint64
}

type ioEventFD struct {
	dataMatch uint64
	addr      uint64
	len       uint32
	fd        int32
	flags     uint32
	_         [36]byte
}

const (
	ioEventDataMatch = 1 << 0
	ioEventPIO       = 1 << 1
	ioEventDeassign  = 1 << 2
)

// AssignIOEvent makes KVM signal e.FD on the writes that e describes. KVM keeps
// its own reference to the descriptor.
func (vm *VM) AssignIOEvent(e IOEvent) error { return vm.ioEvent(e, 0) }

// DeassignIOEvent undoes AssignIOEvent of an equal e.
func (vm *VM) DeassignIOEvent(e IOEvent) error { return vm.ioEvent(e, ioEventDeassign) }

func (vm *VM) ioEvent(e IOEvent, flags uint32) error {
	k := ioEventFD{addr: e.Addr, len: e.Len, fd: int32(e.FD), flags: flags}
	if e.PIO {
		k.flags |= ioEventPIO
	}
	if e.Match {
		k.flags |= ioEventDataMatch
		k.dataMatch = e.Data
	}
	if _, err := ioctlPtr(vm.fd, reqIOEventFD, unsafe.Pointer(&k)); err != nil {
		space := "memory"
		if e.PIO {
			space = "port"
		}
		return fmt.Errorf("%s %#x: %w", space, e.Addr, err)
	}
	return nil
}
