package vhost

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The requests of linux/vhost.h: direction in bits 31-30 (1 writes to the
// kernel, 2 reads), size of the argument from bit 16, type 0xaf, number.
const (
	getFeatures   = 0x8008af00
	setFeatures   = 0x4008af00
	setOwner      = 0x0000af01
	setMemTable   = 0x4008af03 // the size is that of an empty table
	setLogBase    = 0x4008af04
	setVringNum   = 0x4008af10
	setVringAddr  = 0x4028af11
	setVringBase  = 0x4008af12
	getVringBase  = 0xc008af12
	setVringKick  = 0x4008af20
	setVringCall  = 0x4008af21
	setVringErr   = 0x4008af22
	netSetBackend = 0x4008af30
)

// requestNames are for messages.
func requestName(request uintptr) string {
	switch request {
	case getFeatures:
		return "VHOST_GET_FEATURES"
	case setFeatures:
		return "VHOST_SET_FEATURES"
	case setOwner:
		return "VHOST_SET_OWNER"
	case setMemTable:
		return "VHOST_SET_MEM_TABLE"
	case setLogBase:
		return "VHOST_SET_LOG_BASE"
	case setVringNum:
		return "VHOST_SET_VRING_NUM"
	case setVringAddr:
		return "VHOST_SET_VRING_ADDR"
	case setVringBase:
		return "VHOST_SET_VRING_BASE"
	case getVringBase:
		return "VHOST_GET_VRING_BASE"
	case setVringKick:
		return "VHOST_SET_VRING_KICK"
	case setVringCall:
		return "VHOST_SET_VRING_CALL"
	case setVringErr:
		return "VHOST_SET_VRING_ERR"
	case netSetBackend:
		return "VHOST_NET_SET_BACKEND"
	}
	return fmt.Sprintf("ioctl %#x", request)
}

// vringState is struct vhost_vring_state: a ring and a number.
type vringState struct {
	index uint32
	num   uint32
}

// vringFile is struct vhost_vring_file. A descriptor of -1 takes back the one
// given before.
type vringFile struct {
	index uint32
	fd    int32
}

// vringAddr is struct vhost_vring_addr. The rings are at addresses of ours, the
// log address is guest-physical.
type vringAddr struct {
	index uint32
	flags uint32
	desc  uint64
	used  uint64
	avail uint64
	log   uint64 // of the used ring
}

// vringLog is VHOST_VRING_F_LOG: log writes to the used ring.
const vringLog = 1 << 0

// memTable encodes struct vhost_memory:
//
//	0 nregions(4)  4 padding(4)  8 regions
//
// and each struct vhost_memory_region:
//
//	0 guest_phys_addr  8 memory_size  16 userspace_addr  24 flags
func memTable(regions []Region) []byte {
	b := make([]byte, 0, 8+32*len(regions))
	b = binary.NativeEndian.AppendUint64(b, uint64(len(regions))) // little-endian, so the padding is 0
	for _, r := range regions {
		b = binary.NativeEndian.AppendUint64(b, r.GPA)
		b = binary.NativeEndian.AppendUint64(b, uint64(len(r.Host)))
		b = binary.NativeEndian.AppendUint64(b, uint64(uintptr(unsafe.Pointer(&r.Host[0]))))
		b = binary.NativeEndian.AppendUint64(b, 0)
	}
	return b
}

// ioctl does a request with a pointer to its argument.
func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	if errno != 0 {
		return fmt.Errorf("%s: %w", requestName(request), errno)
	}
	return nil
}

// setState does a request with a vringState.
func setState(fd int, request uintptr, index, num uint32) error {
	s := vringState{index: index, num: num}
	return ioctl(fd, request, unsafe.Pointer(&s))
}

// setFile does a request with a vringFile.
func setFile(fd int, request uintptr, index uint32, file int) error {
	f := vringFile{index: index, fd: int32(file)}
	return ioctl(fd, request, unsafe.Pointer(&f))
}
