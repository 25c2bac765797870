// Package wire is how the benchmark's guest and its host speak over TCP.
//
// The guest connects and sends a byte that says what it wants. Both ends use
// blocking sockets: nothing but the way through the machine is to be measured.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// What a guest may want.
const (
	Send    = 's' // it sends until it shuts its side down; the host answers with the count, 8 bytes
	Receive = 'r' // the host sends until the guest closes
	Echo    = 'e' // the host sends each byte back
)

// Chunk is how many bytes either end gives the kernel at a time.
const Chunk = 128 << 10

// Socket is a blocking socket.
type Socket int

// Read implements io.Reader.
func (s Socket) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(s), p)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("receive: %w", err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write implements io.Writer. A peer that has gone is an error, not a signal.
func (s Socket) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.SendmsgN(int(s), p[done:], nil, nil, unix.MSG_NOSIGNAL)
		if err != nil && err != unix.EINTR {
			return done, fmt.Errorf("send: %w", err)
		}
		done += max(n, 0)
	}
	return done, nil
}

// Serve gives a guest what it wants until it is done.
func Serve(s Socket) error {
	var want [1]byte
	if _, err := io.ReadFull(s, want[:]); err != nil {
		return err
	}
	buffer := make([]byte, Chunk)
	switch want[0] {
	case Send:
		total := uint64(0)
		for {
			n, err := s.Read(buffer)
			total += uint64(n)
			if err == io.EOF {
				_, err := s.Write(binary.LittleEndian.AppendUint64(nil, total))
				return err
			}
			if err != nil {
				return err
			}
		}
	case Receive:
		for {
			if _, err := s.Write(buffer); err != nil {
				return nil // the guest has had enough
			}
		}
	case Echo:
		for {
			if _, err := s.Read(want[:]); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if _, err := s.Write(want[:]); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("the guest wants %q", want)
}
