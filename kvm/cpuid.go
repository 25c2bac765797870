package kvm

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CPUID tables grow to this many entries before we give up: four times the
// most that any kernel accepts for a vCPU (KVM_MAX_CPUID_ENTRIES, 256).
const (
	firstCPUIDEntries = 256
	maxCPUIDEntries   = 1024
)

// SupportedCPUID returns the CPUID leaves that this host and this KVM can give
// to a guest (KVM_GET_SUPPORTED_CPUID). A vCPU gets them, tailored, by
// SetCPUID.
func (s *System) SupportedCPUID() ([]CPUIDEntry, error) {
	return getCPUID(s.fd, reqGetSupportedCPUID)
}

// EmulatedCPUID returns the features that KVM can emulate though the host
// does not have them (KVM_GET_EMULATED_CPUID, CapExtEmulCPUID).
func (s *System) EmulatedCPUID() ([]CPUIDEntry, error) {
	return getCPUID(s.fd, reqGetEmulatedCPUID)
}

// SupportedHyperVCPUID returns the Hyper-V leaves 0x40000000 and up that KVM
// can give to a guest (KVM_GET_SUPPORTED_HV_CPUID, CapSysHyperVCPUID).
func (s *System) SupportedHyperVCPUID() ([]CPUIDEntry, error) {
	return getCPUID(s.fd, reqGetSupportedHVCPUID)
}

// SetCPUID defines what the CPUID instruction answers on this vCPU
// (KVM_SET_CPUID2). KVM refuses most changes after the vCPU has run.
func (c *VCPU) SetCPUID(entries []CPUIDEntry) error {
	h, e := newFlex[CPUIDEntry](len(entries))
	copy(e, entries)
	_, err := ioctlPtr(c.fd, reqSetCPUID2, unsafe.Pointer(h))
	return err
}

// CPUID returns what the CPUID instruction answers on this vCPU
// (KVM_GET_CPUID2).
func (c *VCPU) CPUID() ([]CPUIDEntry, error) {
	entries, err := getCPUID(c.fd, reqGetCPUID2)
	// Older kernels (Linux 6.1 is one) leave the count as it was; what they did
	// not fill in is zero, which no leaf is.
	for len(entries) > 0 && entries[len(entries)-1] == (CPUIDEntry{}) {
		entries = entries[:len(entries)-1]
	}
	return entries, err
}

// getCPUID reads a table of unknown length: KVM says E2BIG until it fits.
func getCPUID(fd int, req request) ([]CPUIDEntry, error) {
	for n := firstCPUIDEntries; ; n *= 2 {
		h, entries := newFlex[CPUIDEntry](n)
		_, err := ioctlPtr(fd, req, unsafe.Pointer(h))
		if errors.Is(err, unix.E2BIG) && n < maxCPUIDEntries {
			continue
		}
		if err != nil {
			return nil, err
		}
		return entries[:min(int(h.n), n)], nil
	}
}
