package kvm

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VM is a virtual machine. Its methods may be called from several goroutines,
// but not while or after Close runs.
type VM struct {
	fd       int
	mmapSize int

	mu    sync.Mutex
	slots map[uint32]uint64 // memory slot to its size in bytes
}

// Close closes the VM's descriptor. The kernel takes the machine down when its
// vCPUs are closed too. Closing twice does nothing.
func (vm *VM) Close() error { return closeFD(&vm.fd) }

// FD is the file descriptor of the VM.
func (vm *VM) FD() int { return vm.fd }

// CheckExtension asks for a capability of this VM; see System.CheckExtension.
func (vm *VM) CheckExtension(c Cap) int { return checkExtension(vm.fd, c) }

// EnableCap turns on a capability of the VM (KVM_ENABLE_CAP,
// CapEnableCapVM). What the arguments mean is the capability's business.
func (vm *VM) EnableCap(c Cap, args ...uint64) error {
	return doEnableCap(vm.fd, c, args)
}

type enableCap struct {
	cap   uint32
	flags uint32
	args  [4]uint64
	_     [64]byte
}

func doEnableCap(fd int, c Cap, args []uint64) error {
	e := enableCap{cap: uint32(c)}
	if len(args) > len(e.args) {
		return fmt.Errorf("KVM_ENABLE_CAP %s: %d arguments, at most %d", c, len(args), len(e.args))
	}
	copy(e.args[:], args)
	if _, err := ioctlPtr(fd, reqEnableCap, unsafe.Pointer(&e)); err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

// SetTSSAddr gives KVM three pages of guest-physical address space, below
// 4 GiB and outside all memory slots, for its own use on Intel hosts without
// unrestricted guest. It must come before the first vCPU.
func (vm *VM) SetTSSAddr(gpa uint32) error {
	_, err := ioctl(vm.fd, reqSetTSSAddr, uintptr(gpa))
	return err
}

// SetIdentityMapAddr gives KVM one page of guest-physical address space, below
// 4 GiB and outside all memory slots, for the same purpose as SetTSSAddr. It
// must come before the first vCPU; 0 means KVM's default, 0xfffbc000.
func (vm *VM) SetIdentityMapAddr(gpa uint64) error {
	_, err := ioctlPtr(vm.fd, reqSetIdentityMapAddr, unsafe.Pointer(&gpa))
	return err
}

// SetBootCPUID names the vCPU that is the bootstrap processor; without it, it
// is vCPU 0. It must come before the first vCPU.
func (vm *VM) SetBootCPUID(id int) error {
	_, err := ioctl(vm.fd, reqSetBootCPUID, uintptr(id))
	return err
}

// SetTSCKHz sets the TSC frequency that later vCPUs start with, in kHz
// (CapVMTSCControl).
func (vm *VM) SetTSCKHz(khz uint32) error {
	_, err := ioctl(vm.fd, reqSetTSCKHz, uintptr(khz))
	return err
}

// TSCKHz is the TSC frequency that later vCPUs start with, in kHz
// (CapVMTSCControl).
func (vm *VM) TSCKHz() (uint32, error) {
	khz, err := ioctl(vm.fd, reqGetTSCKHz, 0)
	return uint32(khz), err
}

// Clock reads kvmclock as the guest sees it: Clock is in nanoseconds.
func (vm *VM) Clock() (ClockData, error) {
	var d ClockData
	_, err := ioctlPtr(vm.fd, reqGetClock, unsafe.Pointer(&d))
	return d, err
}

// SetClock sets kvmclock. Of Flags only ClockRealtime may be set; it makes KVM
// add the wall time that has passed since Realtime.
func (vm *VM) SetClock(d ClockData) error {
	_, err := ioctlPtr(vm.fd, reqSetClock, unsafe.Pointer(&d))
	return err
}

// CreateVCPU makes the vCPU with the given id, which is its APIC id. An id can
// be used once in the life of a VM. With an in-kernel interrupt controller,
// every vCPU but the boot one starts uninitialized and waits for INIT and SIPI.
func (vm *VM) CreateVCPU(id int) (*VCPU, error) {
	fd, err := ioctl(vm.fd, reqCreateVCPU, uintptr(id))
	if err != nil {
		return nil, fmt.Errorf("vCPU %d: %w", id, err)
	}
	mem, err := unix.Mmap(fd, 0, vm.mmapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("vCPU %d: %w", id, os.NewSyscallError("mmap kvm_run", err))
	}
	return &VCPU{fd: fd, id: id, vm: vm, exit: newExit(mem)}, nil
}
