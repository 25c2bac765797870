package boot

import "errors"

// Part is a part of what is booted, by the name of its element in a domain.
type Part string

// The parts.
const (
	PartKernel  Part = "kernel"
	PartInitrd  Part = "initrd"
	PartCmdline Part = "cmdline"
)

// Error is a part that cannot be booted.
type Error struct {
	Part Part
	Err  error
}

// Error names the part.
func (e *Error) Error() string { return string(e.Part) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// blame makes err an Error of part, unless it is an Error of another one.
func blame(part Part, err error) error {
	if e := (*Error)(nil); err == nil || errors.As(err, &e) {
		return err
	}
	return &Error{part, err}
}
