package kvm

import (
	"unsafe"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// Device is an in-kernel device with attributes (KVM_CREATE_DEVICE).
type Device struct {
	fd int
}

// CreateVFIODevice makes the pseudo device that tells KVM which VFIO groups
// belong to the VM, so that their memory accesses are kept coherent.
func (vm *VM) CreateVFIODevice() (*Device, error) {
	d := createDevice{Type: uint32(gokvm.DevVFIO)}
	if _, err := ioctlPtr(vm.fd, reqCreateDevice, unsafe.Pointer(&d)); err != nil {
		return nil, err
	}
	return &Device{fd: int(d.Fd)}, nil
}

// Close closes the device's descriptor. Closing twice does nothing.
func (d *Device) Close() error { return closeFD(&d.fd) }

// Attributes of a VFIO device (Documentation/virt/kvm/devices/vfio.rst).
const (
	vfioGroup    = 1 // KVM_DEV_VFIO_GROUP
	vfioGroupAdd = 1
	vfioGroupDel = 2
)

// AddVFIOGroup adds a VFIO group, given by its open descriptor.
func (d *Device) AddVFIOGroup(groupFD int) error {
	return d.setGroup(vfioGroupAdd, groupFD)
}

// RemoveVFIOGroup removes a VFIO group, given by its open descriptor.
func (d *Device) RemoveVFIOGroup(groupFD int) error {
	return d.setGroup(vfioGroupDel, groupFD)
}

type deviceAttr struct {
	flags uint32
	group uint32
	attr  uint64
	addr  unsafe.Pointer
}

func (d *Device) setGroup(attr uint64, groupFD int) error {
	fd := int32(groupFD)
	a := deviceAttr{group: vfioGroup, attr: attr, addr: unsafe.Pointer(&fd)}
	_, err := ioctlPtr(d.fd, reqSetDeviceAttr, unsafe.Pointer(&a))
	return err
}
