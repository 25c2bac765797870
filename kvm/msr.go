package kvm

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MSRError is an MSR that KVM would not read or write: it does not know the
// register, or the value is not valid for this vCPU.
type MSRError struct {
	Op    string // KVM_GET_MSRS or KVM_SET_MSRS
	Index uint32
}

// Error names the ioctl and the register.
func (e *MSRError) Error() string {
	return fmt.Sprintf("%s: refused at MSR %#x", e.Op, e.Index)
}

// MSRIndexList returns the MSRs that a vCPU of this host has and whose values
// are part of its state (KVM_GET_MSR_INDEX_LIST).
func (s *System) MSRIndexList() ([]uint32, error) {
	return s.msrList(reqGetMSRIndexList)
}

// MSRFeatureIndexList returns the MSRs that describe what this KVM supports
// (KVM_GET_MSR_FEATURE_INDEX_LIST, CapGetMSRFeatures).
func (s *System) MSRFeatureIndexList() ([]uint32, error) {
	return s.msrList(reqGetMSRFeatureIndexList)
}

// msrList asks for the length first: the kernel answers an empty list with
// E2BIG and the number of entries it has.
func (s *System) msrList(req request) ([]uint32, error) {
	list := make([]uint32, 1) // kvm_msr_list: a count, then the indices
	for {
		_, err := ioctlPtr(s.fd, req, unsafe.Pointer(&list[0]))
		n := int(list[0])
		switch {
		case err == nil:
			return list[1:][:n], nil
		case errors.Is(err, unix.E2BIG) && n >= len(list):
			list = make([]uint32, 1+n)
			list[0] = uint32(n)
		default:
			return nil, err
		}
	}
}

// FeatureMSRs reads MSRs of MSRFeatureIndexList into the Data of entries,
// whose Index the caller has set. It returns how many it read; when that is
// not all of them, the error is a *MSRError for the next one.
func (s *System) FeatureMSRs(entries []MSREntry) (int, error) {
	return msrs(s.fd, reqGetMSRs, entries)
}

// MSRs reads the MSRs named by the Index of each entry into its Data
// (KVM_GET_MSRS). It returns how many it read; when that is not all of them,
// the error is a *MSRError for the next one.
func (c *VCPU) MSRs(entries []MSREntry) (int, error) {
	return msrs(c.fd, reqGetMSRs, entries)
}

// SetMSRs writes MSRs (KVM_SET_MSRS), in order. It returns how many it wrote;
// when that is not all of them, the error is a *MSRError for the next one.
func (c *VCPU) SetMSRs(entries []MSREntry) (int, error) {
	return msrs(c.fd, reqSetMSRs, entries)
}

func msrs(fd int, req request, entries []MSREntry) (int, error) {
	h, e := newFlex[MSREntry](len(entries))
	copy(e, entries)
	n, err := ioctlPtr(fd, req, unsafe.Pointer(h))
	if err != nil {
		return 0, err
	}
	if req == reqGetMSRs {
		copy(entries, e[:n])
	}
	if n < len(entries) {
		return n, &MSRError{Op: req.String(), Index: entries[n].Index}
	}
	return n, nil
}

// Bits of MSRRange.Flags.
const (
	MSRFilterRead  uint32 = 1 << 0
	MSRFilterWrite uint32 = 1 << 1
)

// MSRRange is a run of MSRs in a filter. A bit of Bitmap that is 0 denies the
// accesses in Flags to the MSR at Base plus the bit's number; KVM accepts up to
// 12288 bits.
type MSRRange struct {
	Flags  uint32
	Base   uint32
	Bitmap []uint64
}

const msrFilterRanges = 16

type msrFilterRange struct {
	flags  uint32
	nmsrs  uint32
	base   uint32
	_      uint32
	bitmap unsafe.Pointer
}

type msrFilter struct {
	flags  uint32 // bit 0: deny what no range covers
	_      uint32
	ranges [msrFilterRanges]msrFilterRange
}

// SetMSRFilter says which MSRs the guest may touch (KVM_X86_SET_MSR_FILTER,
// CapX86MSRFilter). A denied access ends in ExitX86RDMSR or ExitX86WRMSR when
// CapX86UserSpaceMSR was enabled for filtered accesses, else in #GP. No ranges
// and defaultDeny false removes the filter. At most 16 ranges.
func (vm *VM) SetMSRFilter(defaultDeny bool, ranges ...MSRRange) error {
	if len(ranges) > msrFilterRanges {
		return fmt.Errorf("MSR filter: %d ranges, KVM takes %d", len(ranges), msrFilterRanges)
	}
	var f msrFilter
	if defaultDeny {
		f.flags = 1
	}
	for i, r := range ranges {
		if len(r.Bitmap) == 0 {
			return fmt.Errorf("MSR filter: range %d at %#x has no bitmap", i, r.Base)
		}
		f.ranges[i] = msrFilterRange{
			flags:  r.Flags,
			nmsrs:  uint32(len(r.Bitmap) * 64),
			base:   r.Base,
			bitmap: unsafe.Pointer(&r.Bitmap[0]),
		}
	}
	_, err := ioctlPtr(vm.fd, reqSetMSRFilter, unsafe.Pointer(&f))
	return err
}
