package ide

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

// ErrorPolicy is what becomes of a request that the host's disk has failed, as
// in the XML's <driver error_policy=>.
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

// String is the XML's word.
func (p ErrorPolicy) String() string {
	switch p {
	case PolicyEnospace:
		return "enospace"
	case PolicyStop:
		return "stop"
	case PolicyIgnore:
		return "ignore"
	case PolicyReport:
		return "report"
	}
	return "unknown error policy"
}

// stops reports whether there are failures for which the machine stops.
func (p ErrorPolicy) stops() bool { return p == PolicyEnospace || p == PolicyStop }

// Action is what a policy says of one failure.
type Action uint8

// The actions.
const (
	// Report ends the command with an error.
	Report Action = iota
	// Ignore goes on as if nothing had happened.
	Ignore
	// Stop keeps the request for Resume.
	Stop
)

// IOError is a failure of the host's disk.
type IOError struct {
	Op     block.Op
	Offset int64 // in bytes; 0 for Flush
	Length int64 // in bytes; 0 for Flush
	Err    error // of the back end, naming the image
	Action Action
}

// action applies the policy to the failure of an operation.
func (p ErrorPolicy) action(op block.Op, err error) Action {
	switch p {
	case PolicyStop:
		return Stop
	case PolicyIgnore:
		return Ignore
	case PolicyEnospace:
		// A quota is as good a reason as a full disk, and as easily mended.
		if op != block.Read && (errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)) {
			return Stop
		}
	}
	return Report
}

// guestsFault reports whether a request failed because the disk has become
// smaller or is being closed, which no policy is for.
func guestsFault(err error) bool {
	return errors.Is(err, block.ErrOutOfRange) || errors.Is(err, block.ErrReadOnly) || errors.Is(err, block.ErrClosed)
}
