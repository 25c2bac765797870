package kvm

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// request is an ioctl number (include/uapi/asm-generic/ioctl.h):
//
//	31  30 29              16 15      8 7       0
//	+-----+------------------+---------+---------+
//	| dir | size of argument |  0xAE   | number  |
//	+-----+------------------+---------+---------+
type request uintptr

const (
	iocNone      request = 0xAE << 8
	iocWrite     request = 1<<30 | iocNone // user space writes, the kernel reads
	iocRead      request = 2<<30 | iocNone
	iocReadWrite request = 3<<30 | iocNone

	iocSizeShift = 16
)

// Ioctls of /dev/kvm.
const (
	reqGetAPIVersion          = iocNone // number 0
	reqCreateVM               = iocNone | 0x01
	reqGetMSRIndexList        = iocReadWrite | 4<<iocSizeShift | 0x02
	reqCheckExtension         = iocNone | 0x03 // also of a VM
	reqGetVCPUMmapSize        = iocNone | 0x04
	reqGetSupportedCPUID      = iocReadWrite | flexHeaderSize<<iocSizeShift | 0x05
	reqGetEmulatedCPUID       = iocReadWrite | flexHeaderSize<<iocSizeShift | 0x09
	reqGetMSRFeatureIndexList = iocReadWrite | 4<<iocSizeShift | 0x0a
	reqGetSupportedHVCPUID    = iocReadWrite | flexHeaderSize<<iocSizeShift | 0xc1
	reqGetMCECapSupported     = iocRead | 8<<iocSizeShift | 0x9d
)

// Ioctls of a VM.
const (
	reqCreateVCPU          = iocNone | 0x41
	reqGetDirtyLog         = iocWrite | request(unsafe.Sizeof(dirtyLog{}))<<iocSizeShift | 0x42
	reqSetUserMemoryRegion = iocWrite | request(unsafe.Sizeof(userMemoryRegion{}))<<iocSizeShift | 0x46
	reqSetTSSAddr          = iocNone | 0x47
	reqSetIdentityMapAddr  = iocWrite | 8<<iocSizeShift | 0x48
	reqCreateIRQChip       = iocNone | 0x60
	reqIRQLine             = iocWrite | request(unsafe.Sizeof(irqLevel{}))<<iocSizeShift | 0x61
	reqGetIRQChip          = iocReadWrite | request(unsafe.Sizeof(irqChip{}))<<iocSizeShift | 0x62
	reqSetIRQChip          = iocRead | request(unsafe.Sizeof(irqChip{}))<<iocSizeShift | 0x63 // sic: the kernel says "read"
	reqIRQLineStatus       = iocReadWrite | request(unsafe.Sizeof(irqLevel{}))<<iocSizeShift | 0x67
	reqSetGSIRouting       = iocWrite | flexHeaderSize<<iocSizeShift | 0x6a
	reqIRQFD               = iocWrite | request(unsafe.Sizeof(irqFD{}))<<iocSizeShift | 0x76
	reqSetBootCPUID        = iocNone | 0x78
	reqIOEventFD           = iocWrite | request(unsafe.Sizeof(ioEventFD{}))<<iocSizeShift | 0x79
	reqSetClock            = iocWrite | request(unsafe.Sizeof(ClockData{}))<<iocSizeShift | 0x7b
	reqGetClock            = iocRead | request(unsafe.Sizeof(ClockData{}))<<iocSizeShift | 0x7c
	reqSetTSCKHz           = iocNone | 0xa2 // also of a vCPU
	reqGetTSCKHz           = iocNone | 0xa3 // also of a vCPU
	reqEnableCap           = iocWrite | request(unsafe.Sizeof(enableCap{}))<<iocSizeShift | 0xa3
	reqSignalMSI           = iocWrite | request(unsafe.Sizeof(msi{}))<<iocSizeShift | 0xa5
	reqClearDirtyLog       = iocReadWrite | request(unsafe.Sizeof(clearDirtyLog{}))<<iocSizeShift | 0xc0
	reqSetMSRFilter        = iocWrite | request(unsafe.Sizeof(msrFilter{}))<<iocSizeShift | 0xc6
	reqCreateDevice        = iocReadWrite | request(unsafe.Sizeof(createDevice{}))<<iocSizeShift | 0xe0
)

// Ioctls of a vCPU.
const (
	reqRun           = iocNone | 0x80
	reqGetRegs       = iocRead | request(unsafe.Sizeof(Regs{}))<<iocSizeShift | 0x81
	reqSetRegs       = iocWrite | request(unsafe.Sizeof(Regs{}))<<iocSizeShift | 0x82
	reqGetSRegs      = iocRead | request(unsafe.Sizeof(SRegs{}))<<iocSizeShift | 0x83
	reqSetSRegs      = iocWrite | request(unsafe.Sizeof(SRegs{}))<<iocSizeShift | 0x84
	reqTranslate     = iocReadWrite | request(unsafe.Sizeof(Translation{}))<<iocSizeShift | 0x85
	reqInterrupt     = iocWrite | 4<<iocSizeShift | 0x86
	reqGetMSRs       = iocReadWrite | flexHeaderSize<<iocSizeShift | 0x88
	reqSetMSRs       = iocWrite | flexHeaderSize<<iocSizeShift | 0x89
	reqSetSignalMask = iocWrite | 4<<iocSizeShift | 0x8b
	reqGetFPU        = iocRead | request(unsafe.Sizeof(FPU{}))<<iocSizeShift | 0x8c
	reqSetFPU        = iocWrite | request(unsafe.Sizeof(FPU{}))<<iocSizeShift | 0x8d
	reqGetLAPIC      = iocRead | request(unsafe.Sizeof(LAPICState{}))<<iocSizeShift | 0x8e
	reqSetLAPIC      = iocWrite | request(unsafe.Sizeof(LAPICState{}))<<iocSizeShift | 0x8f
	reqSetCPUID2     = iocWrite | flexHeaderSize<<iocSizeShift | 0x90
	reqGetCPUID2     = iocReadWrite | flexHeaderSize<<iocSizeShift | 0x91
	reqGetMPState    = iocRead | request(unsafe.Sizeof(MPState(0)))<<iocSizeShift | 0x98
	reqSetMPState    = iocWrite | request(unsafe.Sizeof(MPState(0)))<<iocSizeShift | 0x99
	reqNMI           = iocNone | 0x9a
	reqSetGuestDebug = iocWrite | request(unsafe.Sizeof(GuestDebug{}))<<iocSizeShift | 0x9b
	reqSetupMCE      = iocWrite | 8<<iocSizeShift | 0x9c
	reqGetVCPUEvents = iocRead | request(unsafe.Sizeof(VCPUEvents{}))<<iocSizeShift | 0x9f
	reqSetVCPUEvents = iocWrite | request(unsafe.Sizeof(VCPUEvents{}))<<iocSizeShift | 0xa0
	reqGetDebugRegs  = iocRead | request(unsafe.Sizeof(DebugRegs{}))<<iocSizeShift | 0xa1
	reqSetDebugRegs  = iocWrite | request(unsafe.Sizeof(DebugRegs{}))<<iocSizeShift | 0xa2
	reqGetXSave      = iocRead | xsaveSize<<iocSizeShift | 0xa4
	reqSetXSave      = iocWrite | xsaveSize<<iocSizeShift | 0xa5
	reqGetXCRS       = iocRead | request(unsafe.Sizeof(XCRS{}))<<iocSizeShift | 0xa6
	reqSetXCRS       = iocWrite | request(unsafe.Sizeof(XCRS{}))<<iocSizeShift | 0xa7
	reqKVMClockCtrl  = iocNone | 0xad
	reqSMI           = iocNone | 0xb7
	reqGetSRegs2     = iocRead | request(unsafe.Sizeof(SRegs2{}))<<iocSizeShift | 0xcc
	reqSetSRegs2     = iocWrite | request(unsafe.Sizeof(SRegs2{}))<<iocSizeShift | 0xcd
	reqGetXSave2     = iocRead | xsaveSize<<iocSizeShift | 0xcf
)

// Ioctls of a device made by KVM_CREATE_DEVICE.
const (
	reqSetDeviceAttr = iocWrite | request(unsafe.Sizeof(deviceAttr{}))<<iocSizeShift | 0xe1 // also of a vCPU
	reqGetDeviceAttr = iocWrite | request(unsafe.Sizeof(deviceAttr{}))<<iocSizeShift | 0xe2 // of a vCPU
)

// maxInterrupted bounds the retries of an ioctl that a signal interrupted.
// The Go runtime sends SIGURG to its threads at any time, and KVM_CREATE_VM
// and KVM_CREATE_VCPU fail with EINTR when one is pending; a storm of them
// long enough to use this up is a fault worth reporting.
const maxInterrupted = 1000

// ioctl passes arg by value and returns the kernel's non-negative result.
func ioctl(fd int, req request, arg uintptr) (int, error) {
	for range maxInterrupted {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), arg)
		if errno == 0 {
			return int(r), nil
		}
		if errno != unix.EINTR {
			return 0, &Error{Op: req.String(), Err: errno}
		}
	}
	return 0, &Error{Op: req.String(), Err: unix.EINTR}
}

// ioctlPtr passes a pointer. The conversion to uintptr stands inside the call,
// which is what keeps the object alive and in place during the system call.
func ioctlPtr(fd int, req request, arg unsafe.Pointer) (int, error) {
	for range maxInterrupted {
		r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(req), uintptr(arg))
		if errno == 0 {
			return int(r), nil
		}
		if errno != unix.EINTR {
			return 0, &Error{Op: req.String(), Err: errno}
		}
	}
	return 0, &Error{Op: req.String(), Err: unix.EINTR}
}

// flexHeader begins the argument of the ioctls that take a counted array:
// kvm_cpuid2, kvm_msrs and kvm_irq_routing.
type flexHeader struct {
	n uint32 // entries that follow
	_ uint32
}

const flexHeaderSize = request(unsafe.Sizeof(flexHeader{}))

// newFlex allocates a flexHeader with n entries after it. The size of E must
// be a multiple of 8, as it is for every such array in the KVM API.
func newFlex[E any](n int) (*flexHeader, []E) {
	const word = 8
	words := make([]uint64, 1+n*int(unsafe.Sizeof(*new(E)))/word)
	h := (*flexHeader)(unsafe.Pointer(&words[0]))
	h.n = uint32(n)
	if n == 0 {
		return h, nil
	}
	return h, unsafe.Slice((*E)(unsafe.Pointer(&words[1])), n)
}
