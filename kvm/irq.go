package kvm

import (
	"fmt"
	"unsafe"
)

// CreateIRQChip puts two 8259A PICs, an I/O APIC and, in every later vCPU, a
// local APIC into the kernel, with GSI 0-15 routed to the PICs and 0-23 to the
// I/O APIC. It must come before the first vCPU.
func (vm *VM) CreateIRQChip() error {
	_, err := ioctl(vm.fd, reqCreateIRQChip, 0)
	return err
}

// irqLevel is kvm_irq_level: irq goes in, status comes out in its place.
type irqLevel struct {
	irq   uint32
	level uint32
}

func newIRQLevel(gsi uint32, level bool) irqLevel {
	l := irqLevel{irq: gsi}
	if level {
		l.level = 1
	}
	return l
}

// IRQLine sets the level of an interrupt line (KVM_IRQ_LINE). An
// edge-triggered pin sees an interrupt when it goes from false to true.
func (vm *VM) IRQLine(gsi uint32, level bool) error {
	l := newIRQLevel(gsi, level)
	_, err := ioctlPtr(vm.fd, reqIRQLine, unsafe.Pointer(&l))
	return err
}

// IRQLineStatus is IRQLine that tells what became of the interrupt
// (KVM_IRQ_LINE_STATUS, CapIRQInjectStatus): less than 0, it was ignored
// (masked, or nothing is routed there); 0, it was coalesced with one still
// pending; more than 0, it was delivered to that many processors.
func (vm *VM) IRQLineStatus(gsi uint32, level bool) (status int, err error) {
	l := newIRQLevel(gsi, level)
	if _, err := ioctlPtr(vm.fd, reqIRQLineStatus, unsafe.Pointer(&l)); err != nil {
		return 0, err
	}
	return int(int32(l.irq)), nil
}

// IRQChipID names one of the in-kernel interrupt controllers.
type IRQChipID uint32

// The in-kernel interrupt controllers.
const (
	PICMaster IRQChipID = 0
	PICSlave  IRQChipID = 1
	IOAPIC    IRQChipID = 2
)

// String is the controller's name.
func (id IRQChipID) String() string {
	switch id {
	case PICMaster:
		return "PIC master"
	case PICSlave:
		return "PIC slave"
	case IOAPIC:
		return "IOAPIC"
	default:
		return fmt.Sprintf("irqchip %d", uint32(id))
	}
}

// PIC reads the state of a PIC: PICMaster or PICSlave.
func (vm *VM) PIC(id IRQChipID) (PICState, error) {
	if err := checkPIC(id); err != nil {
		return PICState{}, err
	}
	chip := irqChip{ChipID: uint32(id)}
	_, err := ioctlPtr(vm.fd, reqGetIRQChip, unsafe.Pointer(&chip))
	return *(*PICState)(unsafe.Pointer(&chip.Chip)), err
}

// SetPIC writes the state of a PIC: PICMaster or PICSlave.
func (vm *VM) SetPIC(id IRQChipID, s PICState) error {
	if err := checkPIC(id); err != nil {
		return err
	}
	chip := irqChip{ChipID: uint32(id)}
	*(*PICState)(unsafe.Pointer(&chip.Chip)) = s
	_, err := ioctlPtr(vm.fd, reqSetIRQChip, unsafe.Pointer(&chip))
	return err
}

func checkPIC(id IRQChipID) error {
	if id != PICMaster && id != PICSlave {
		return fmt.Errorf("%s is not a PIC", id)
	}
	return nil
}

// IOAPIC reads the state of the I/O APIC.
func (vm *VM) IOAPIC() (IOAPICState, error) {
	chip := irqChip{ChipID: uint32(IOAPIC)}
	_, err := ioctlPtr(vm.fd, reqGetIRQChip, unsafe.Pointer(&chip))
	return *(*IOAPICState)(unsafe.Pointer(&chip.Chip)), err
}

// SetIOAPIC writes the state of the I/O APIC.
func (vm *VM) SetIOAPIC(s IOAPICState) error {
	chip := irqChip{ChipID: uint32(IOAPIC)}
	*(*IOAPICState)(unsafe.Pointer(&chip.Chip)) = s
	_, err := ioctlPtr(vm.fd, reqSetIRQChip, unsafe.Pointer(&chip))
	return err
}

type msi struct {
	addressLo uint32
	addressHi uint32
	data      uint32
	flags     uint32
	devid     uint32
	_         [12]byte
}

// SignalMSI sends a message signalled interrupt (KVM_SIGNAL_MSI,
// CapSignalMSI). delivered is false when the guest blocked it.
func (vm *VM) SignalMSI(addr uint64, data uint32) (delivered bool, err error) {
	m := msi{addressLo: uint32(addr), addressHi: uint32(addr >> 32), data: data}
	n, err := ioctlPtr(vm.fd, reqSignalMSI, unsafe.Pointer(&m))
	return n > 0, err
}
