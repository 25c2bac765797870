package luks

import (
	"errors"
	"fmt"
)

// Errors, found with errors.Is in what the functions here return.
var (
	// ErrNotLUKS is a store without a LUKS header.
	ErrNotLUKS = errors.New("is not a LUKS container")
	// ErrPassphrase is a passphrase that opens no key slot.
	ErrPassphrase = errors.New("the passphrase opens no key slot")
	// ErrCorrupt is a header that breaks the rules of the format.
	ErrCorrupt = errors.New("the LUKS header is damaged")
	// ErrUnsupported is a container that is well-formed, but needs what this
	// package leaves out.
	ErrUnsupported = errors.New("is not supported")
	// ErrCost is a container whose key derivation takes more memory or time than
	// [Limits] allows.
	ErrCost = errors.New("costs more than is allowed")
)

// corrupt makes an error that wraps ErrCorrupt.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// clip quotes a text out of a header, which may be anything.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return fmt.Sprintf("%q", s)
}

// unsupportedCipher is package crypt's error as one of this package's.
type unsupportedCipher struct{ error }

func (e *unsupportedCipher) Unwrap() []error { return []error{e.error, ErrUnsupported} }
