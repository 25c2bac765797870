package kvm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DefaultPath is where Linux has its KVM device.
const DefaultPath = "/dev/kvm"

// apiVersion is the only version of the KVM API there has been since 2007.
const apiVersion = 12

// System is the KVM of this host: an open /dev/kvm. Its methods may be called
// from several goroutines, but not while or after Close runs.
type System struct {
	fd       int
	mmapSize int
}

// Open opens the KVM device at path (DefaultPath if empty). The error says
// what is missing: the device, the permission, or the right API version.
func Open(path string) (*System, error) {
	if path == "" {
		path = DefaultPath
	}
	fd, err := openRetry(path)
	if err != nil {
		return nil, openError(path, err)
	}
	s := &System{fd: fd}
	if err := s.check(path); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func openRetry(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func openError(path string, err error) error {
	wrapped := &fs.PathError{Op: "open", Path: path, Err: err}
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w: load the kvm_intel or kvm_amd module, "+
			"and enable virtualization in the firmware (or nested virtualization on the outer host)", wrapped)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: user %d may not use KVM; add it to the group that owns %s (usually kvm)",
			wrapped, os.Getuid(), path)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: the device node exists but no kvm module serves it", wrapped)
	default:
		return wrapped
	}
}

// check refuses what is not KVM, or not the KVM this package was written for.
func (s *System) check(path string) error {
	version, err := ioctl(s.fd, reqGetAPIVersion, 0)
	if err != nil {
		return fmt.Errorf("%s is not a KVM device: %w", path, errors.Unwrap(err))
	}
	if version != apiVersion {
		return fmt.Errorf("%s: KVM API version %d, need %d", path, version, apiVersion)
	}
	size, err := ioctl(s.fd, reqGetVCPUMmapSize, 0)
	if err != nil {
		return err
	}
	if size < int(unsafe.Sizeof(runPage{})) {
		return fmt.Errorf("%s: KVM_GET_VCPU_MMAP_SIZE: %d bytes, need at least %d",
			path, size, unsafe.Sizeof(runPage{}))
	}
	s.mmapSize = size
	return nil
}

// Close closes the device. VMs made from it go on working. Closing twice does
// nothing.
func (s *System) Close() error { return closeFD(&s.fd) }

// FD is the file descriptor of the device.
func (s *System) FD() int { return s.fd }

// CheckExtension asks for a capability: 0 is "no", 1 or more is "yes" and for
// some capabilities a number or a set of flags. What the kernel does not know,
// it does not have.
func (s *System) CheckExtension(c Cap) int { return checkExtension(s.fd, c) }

func checkExtension(fd int, c Cap) int {
	n, err := ioctl(fd, reqCheckExtension, uintptr(c))
	if err != nil {
		return 0
	}
	return n
}

// VCPUMmapSize is the size in bytes of a vCPU's kvm_run mapping.
func (s *System) VCPUMmapSize() int { return s.mmapSize }

// RecommendedVCPUs is the number of vCPUs in one VM that KVM recommends not to
// exceed. A kernel that does not say means 4 (api.rst, KVM_CAP_NR_VCPUS).
func (s *System) RecommendedVCPUs() int {
	if n := s.CheckExtension(CapNRVCPUs); n > 0 {
		return n
	}
	return 4
}

// MaxVCPUs is the greatest number of vCPUs one VM can have.
func (s *System) MaxVCPUs() int {
	if n := s.CheckExtension(CapMaxVCPUs); n > 0 {
		return n
	}
	return s.RecommendedVCPUs()
}

// MaxVCPUID is one more than the greatest vCPU id (x2APIC id) of a VM.
func (s *System) MaxVCPUID() int {
	if n := s.CheckExtension(CapMaxVCPUID); n > 0 {
		return n
	}
	return s.MaxVCPUs()
}

// NRMemSlots is the number of memory slots one VM can have.
func (s *System) NRMemSlots() int { return s.CheckExtension(CapNRMemSlots) }

// CreateVM makes an empty virtual machine.
func (s *System) CreateVM() (*VM, error) {
	fd, err := ioctl(s.fd, reqCreateVM, 0)
	if err != nil {
		return nil, err
	}
	return &VM{fd: fd, mmapSize: s.mmapSize, slots: make(map[uint32]uint64)}, nil
}

// closeFD closes *fd once.
func closeFD(fd *int) error {
	if *fd < 0 {
		return nil
	}
	err := unix.Close(*fd)
	*fd = -1
	return err
}
