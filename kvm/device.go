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

// Attribute groups and attributes (api.rst and virt/kvm/devices).
const (
	vfioGroup    = 1 // KVM_DEV_VFIO_GROUP
	vfioGroupAdd = 1
	vfioGroupDel = 2

	vcpuTSCCtrl   = 0 // KVM_VCPU_TSC_CTRL
	vcpuTSCOffset = 0
)

// AddVFIOGroup adds a VFIO group, given by its open descriptor.
func (d *Device) AddVFIOGroup(groupFD int) error {
	fd := int32(groupFD)
	return doDeviceAttr(d.fd, reqSetDeviceAttr, vfioGroup, vfioGroupAdd, unsafe.Pointer(&fd))
}

// RemoveVFIOGroup removes a VFIO group, given by its open descriptor.
func (d *Device) RemoveVFIOGroup(groupFD int) error {
	fd := int32(groupFD)
	return doDeviceAttr(d.fd, reqSetDeviceAttr, vfioGroup, vfioGroupDel, unsafe.Pointer(&fd))
}

// TSCOffset is what KVM adds to the host's TSC to get this vCPU's.
func (c *VCPU) TSCOffset() (uint64, error) {
	var offset uint64
	err := doDeviceAttr(c.fd, reqGetDeviceAttr, vcpuTSCCtrl, vcpuTSCOffset, unsafe.Pointer(&offset))
	return offset, err
}

// SetTSCOffset sets what KVM adds to the host's TSC to get this vCPU's.
func (c *VCPU) SetTSCOffset(offset uint64) error {
	return doDeviceAttr(c.fd, reqSetDeviceAttr, vcpuTSCCtrl, vcpuTSCOffset, unsafe.Pointer(&offset))
}

// HasTSCOffset reports whether TSCOffset and SetTSCOffset work here.
func (c *VCPU) HasTSCOffset() bool {
	return doDeviceAttr(c.fd, reqHasDeviceAttr, vcpuTSCCtrl, vcpuTSCOffset, nil) == nil
}

type deviceAttr struct {
	flags uint32
	group uint32
	attr  uint64
	addr  unsafe.Pointer
}

func doDeviceAttr(fd int, req request, group uint32, attr uint64, addr unsafe.Pointer) error {
	a := deviceAttr{group: group, attr: attr, addr: addr}
	_, err := ioctlPtr(fd, req, unsafe.Pointer(&a))
	return err
}
