package queue

import (
	"encoding/binary"
	"io"
)

// Writer writes the device-writable part of a chain from front to back. How the
// driver has divided it into buffers does not show.
type Writer struct{ span }

// Write implements io.Writer. It writes what there is room for, and
// io.ErrShortWrite says that this was not all.
func (w *Writer) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) && w.left > 0 {
		done += w.advance(copy(w.head(), p[done:]))
	}
	if done < len(p) {
		return done, io.ErrShortWrite
	}
	return done, nil
}

// WriteFull writes all of p. It is ErrShort, and writes nothing, when there is
// not enough room.
func (w *Writer) WriteFull(p []byte) error {
	if len(p) > w.left {
		return ErrShort
	}
	_, err := w.Write(p)
	return err
}

// ReadFull fills the first n bytes from src, straight into guest memory, and
// returns how many it has got. It is ErrShort when there is no room for as many.
func (w *Writer) ReadFull(src io.Reader, n int) (int, error) {
	if uint(n) > uint(w.left) {
		return 0, ErrShort
	}
	done := 0
	for done < n {
		b := w.head()
		got, err := io.ReadFull(src, b[:min(len(b), n-done)])
		done += w.advance(got)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Zero clears the first n bytes. It is ErrShort, and clears nothing, when there
// is no room for as many.
func (w *Writer) Zero(n int) error {
	if uint(n) > uint(w.left) {
		return ErrShort
	}
	for n > 0 {
		b := w.head()
		b = b[:min(len(b), n)]
		clear(b)
		n -= w.advance(len(b))
	}
	return nil
}

// Split takes the first n bytes off as a writer of their own. It is ErrShort
// when there are not as many.
func (w *Writer) Split(n int) (Writer, error) {
	front, err := w.split(n)
	return Writer{front}, err
}

// PutUint8 writes a byte, or is ErrShort.
func (w *Writer) PutUint8(v uint8) error {
	p := [1]byte{v}
	return w.small(p[:])
}

// PutUint16 writes a little-endian number, or is ErrShort and writes nothing.
func (w *Writer) PutUint16(v uint16) error {
	var p [2]byte
	binary.LittleEndian.PutUint16(p[:], v)
	return w.small(p[:])
}

// PutUint32 is PutUint16 for 32 bits.
func (w *Writer) PutUint32(v uint32) error {
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], v)
	return w.small(p[:])
}

// PutUint64 is PutUint16 for 64 bits.
func (w *Writer) PutUint64(v uint64) error {
	var p [8]byte
	binary.LittleEndian.PutUint64(p[:], v)
	return w.small(p[:])
}

func (w *Writer) small(p []byte) error {
	if b := w.take(len(p)); b != nil {
		copy(b, p)
		return nil
	}
	return w.WriteFull(p)
}
