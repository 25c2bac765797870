// Package claim marks what a process makes in its network namespace, so that what
// a killed one has left can be told from what is in use, and removed.
//
// A claim is a random number. It stands in the name or the alias of the interface,
// or in whatever else shows it; and as long as the process lives, a socket has it as its
// name in the abstract namespace of unix(7). Both belong to the same network
// namespace, as no file would, and the kernel takes the name back however the process ends.
package claim

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// prefix begins a mark. With the number it is as long as the name of an interface can be.
const prefix = "govmm"

// digits is the length of the number.
const digits = 10

// Claim is a mark that is in use until Close.
type Claim struct {
	mark   string
	socket int
}

// New makes a claim in the network namespace of the calling thread.
func New() (*Claim, error) {
	var number [digits / 2]byte
	rand.Read(number[:]) // never fails
	c := &Claim{mark: prefix + hex.EncodeToString(number[:])}
	var err error
	if c.socket, err = bind(c.mark); err != nil {
		return nil, fmt.Errorf("socket @%s: %w", c.mark, err)
	}
	return c, nil
}

// Mark is the text that shows whose something is: 15 bytes that can be an
// interface's name.
func (c *Claim) Mark() string { return c.mark }

// Close gives the claim up.
func (c *Claim) Close() error { return unix.Close(c.socket) }

// Abandoned reports whether a text is a mark, in the network namespace of the
// calling thread, whose process has ended.
func Abandoned(mark string) bool {
	number, ok := strings.CutPrefix(mark, prefix)
	if !ok || len(number) != digits {
		return false
	}
	if _, err := hex.DecodeString(number); err != nil {
		return false
	}
	socket, err := bind(mark)
	if err != nil {
		return false // in use, or nothing is known of it
	}
	unix.Close(socket)
	return true
}

// bind makes a socket of that name in the abstract namespace.
func bind(name string) (socket int, err error) {
	socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: "@" + name}); err != nil {
		return -1, errors.Join(err, unix.Close(socket))
	}
	return socket, nil
}
