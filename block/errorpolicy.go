package block

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrorPolicy is what a disk's device does about a request that the host has
// failed, as in the XML's <driver error_policy=>.
type ErrorPolicy uint8

// The policies.
const (
	// PolicyEnospace stops the machine when a write fails for want of space,
	// and tells the guest of all other failures. It is the default.
	PolicyEnospace ErrorPolicy = iota
	// PolicyStop stops the machine at each failure.
	PolicyStop
	// PolicyIgnore tells the guest of success.
	PolicyIgnore
	// PolicyReport tells the guest of the failure.
	PolicyReport
)

var policyNames = [...]string{"enospace", "stop", "ignore", "report"}

// ParseErrorPolicy reads the XML's word. An empty one is the default.
func ParseErrorPolicy(word string) (ErrorPolicy, error) {
	if word == "" {
		return PolicyEnospace, nil
	}
	if i := slices.Index(policyNames[:], word); i >= 0 {
		return ErrorPolicy(i), nil
	}
	return 0, fmt.Errorf("error_policy %q is none of %q", word, policyNames)
}

// String is the XML's word.
func (p ErrorPolicy) String() string {
	if p.Known() {
		return policyNames[p]
	}
	return "unknown error policy"
}

// Known reports whether it is one of the policies.
func (p ErrorPolicy) Known() bool { return int(p) < len(policyNames) }

// Stops reports whether there are failures for which the machine stops.
func (p ErrorPolicy) Stops() bool { return p == PolicyEnospace || p == PolicyStop }

// ErrorAction is what a policy says of one failure.
type ErrorAction uint8

// The actions.
const (
	// ReportError ends the request with an error.
	ReportError ErrorAction = iota
	// IgnoreError goes on as if nothing had happened.
	IgnoreError
	// StopOnError keeps the request until the machine goes on.
	StopOnError
)

// Action applies the policy to the failure of an operation.
func (p ErrorPolicy) Action(op Op, err error) ErrorAction {
	switch p {
	case PolicyStop:
		return StopOnError
	case PolicyIgnore:
		return IgnoreError
	case PolicyEnospace:
		// A quota is as good a reason as a full disk, and as easily mended.
		if op != Read && (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) {
			return StopOnError
		}
	}
	return ReportError
}

// IOError is a failure of the host's disk, as a device tells of it.
type IOError struct {
	Op     Op
	Offset int64 // in bytes; 0 for Flush
	Length int64 // in bytes; 0 for Flush
	Err    error // of the back end, naming the image
	Action ErrorAction
}

// GuestsFault reports whether a request failed because the disk has become
// smaller or is being closed, which no policy is for.
func GuestsFault(err error) bool {
	return errors.Is(err, ErrOutOfRange) || errors.Is(err, ErrReadOnly) || errors.Is(err, ErrClosed)
}
