// Package wire is what the test host and the program it runs on say to the
// machine's first process, over one byte stream (a virtio-serial port).
//
// Every message is a frame:
//
//	0      1                  5
//	+------+------------------+-----------------+
//	| kind | length, 4 bytes, | payload         |
//	|      | big endian       |                 |
//	+------+------------------+-----------------+
//
// The host sends one Start, then for a terminal Input and Resize as they come.
// The machine sends Stdout and Stderr, and at last one Exit: whatever the
// command wrote has been sent before it, and the file systems are synced.
package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"sync"
)

// Kind says what a frame's payload is.
type Kind byte

const (
	Start  Kind = iota + 1 // a Request, in JSON
	Input                  // bytes typed at the terminal
	Resize                 // a Size, in JSON
	Stdout                 // bytes of the command's standard output, or of its terminal
	Stderr                 // bytes of the command's standard error
	Exit                   // a Status, in JSON
)

// MaxPayload is the longest payload, in bytes. It bounds the size of a
// request; output is sent in much smaller pieces.
const MaxPayload = 1 << 20

const headerSize = 5

// Request is the command to run.
type Request struct {
	Args []string // the command and its arguments; at least one
	Env  []string // its whole environment, NAME=VALUE
	Dir  string   // its working directory
	TTY  *Size    // if set it gets a terminal of this size

	// Modules is the directory to show as /lib/modules/RELEASE.
	Modules string
}

// Size of a terminal, in characters.
type Size struct{ Rows, Cols uint16 }

// Status is how the command ended.
type Status struct {
	Exit  int    // 0-255; 128 and the signal's number if one killed it
	Error string // set if the machine could not run it as asked
}

// Writer sends frames. It may be used by several goroutines.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Send writes one frame with a single Write.
func (w *Writer) Send(kind Kind, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("wire: a payload of %d bytes is over the limit of %d", len(payload), MaxPayload)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf[:0], byte(kind))
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(len(payload)))
	w.buf = append(w.buf, payload...)
	_, err := w.w.Write(w.buf)
	return err
}

// SendJSON writes one frame with v in JSON.
func (w *Writer) SendJSON(kind Kind, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return w.Send(kind, payload)
}

// Stream returns an io.Writer whose every Write is sent as frames of a kind.
func (w *Writer) Stream(kind Kind) io.Writer { return stream{w, kind} }

type stream struct {
	w    *Writer
	kind Kind
}

func (s stream) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, MaxPayload)
		if err := s.w.Send(s.kind, p[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// Reader receives frames.
type Reader struct {
	r   *bufio.Reader
	buf []byte
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next frame; its payload is valid until the call after. The
// error is io.EOF only between frames.
func (r *Reader) Next() (Kind, []byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		return 0, nil, err
	}
	kind := Kind(header[0])
	if kind < Start || kind > Exit {
		return 0, nil, fmt.Errorf("wire: unknown kind of frame %d", kind)
	}
	n := binary.BigEndian.Uint32(header[1:])
	if n > MaxPayload {
		return 0, nil, fmt.Errorf("wire: a frame of %d bytes is over the limit of %d", n, MaxPayload)
	}
	if cap(r.buf) < int(n) {
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return kind, r.buf, nil
}
