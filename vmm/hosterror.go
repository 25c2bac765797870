package vmm

import (
	"fmt"

	"github.com/govmm/govmm/kvm"
)

// HostError is a host that cannot run the machine: no KVM, no permission, too
// little memory. Its text says what to do about it.
type HostError struct{ Err error }

// Error is what is wrong, and the remedy.
func (e *HostError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *HostError) Unwrap() error { return e.Err }

func hostError(err error) error {
	if err == nil {
		return nil
	}
	return &HostError{err}
}

// openKVM opens the device and refuses a KVM that lacks what every machine
// needs.
func openKVM(path string) (*kvm.System, error) {
	sys, err := kvm.Open(path)
	if err != nil {
		return nil, hostError(err)
	}
	for _, c := range kvm.RequiredCaps() {
		if sys.CheckExtension(c) == 0 {
			sys.Close()
			return nil, hostError(fmt.Errorf("this host's KVM has no %v; a newer kernel may have it", c))
		}
	}
	return sys, nil
}
