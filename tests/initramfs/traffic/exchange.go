package traffic

import (
	"errors"
	"fmt"
	"io"
)

// chunk is how much one read or write carries at most, in bytes.
const chunk = 64 << 10

// Exchange sends length bytes of one stream over a connection and at the same
// time receives as many of another. It leaves the connection open.
func Exchange(conn io.ReadWriter, length, send, receive uint64) error {
	sent := make(chan error, 1)
	go func() { sent <- Send(conn, length, send) }()
	return errors.Join(Receive(conn, length, receive), <-sent)
}

// Send sends length bytes of a stream.
func Send(w io.Writer, length, seed uint64) error {
	// A Source alone, so that io has no way round the buffer.
	source := struct{ io.Reader }{&Source{Seed: seed, Length: length}}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, source, make([]byte, chunk))
	if err != nil {
		return fmt.Errorf("send: after %d of %d bytes: %w", n, length, err)
	}
	return nil
}

// Receive receives length bytes, not one more, and checks that they are those
// of a stream.
func Receive(r io.Reader, length, seed uint64) error {
	sink := Sink{Seed: seed}
	limited := &io.LimitedReader{R: r, N: int64(length)}
	_, err := io.CopyBuffer(struct{ io.Writer }{&sink}, limited, make([]byte, chunk))
	if err == nil && sink.Received < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("receive: after %d of %d bytes: %w", sink.Received, length, err)
	}
	return nil
}
