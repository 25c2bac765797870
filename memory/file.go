package memory

import (
	"errors"
	"io"
)

// ReadFrom fills n bytes of RAM at gpa from src at off. From a file the data
// goes straight into guest memory. It may span regions that adjoin. An end of
// src before n bytes is io.ErrUnexpectedEOF.
func (m *Memory) ReadFrom(src io.ReaderAt, off int64, gpa, n uint64) error {
	if err := m.checkSpan(gpa, n, true); err != nil {
		return err
	}
	for n > 0 {
		b := m.rest(gpa)
		b = b[:min(n, uint64(len(b)))]
		done, err := src.ReadAt(b, off)
		m.find(gpa).mark(gpa, uint64(done))
		if done < len(b) {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		gpa, n, off = gpa+uint64(done), n-uint64(done), off+int64(done)
	}
	return nil
}

// WriteTo copies n bytes of guest memory at gpa to dst at off. To a file the
// data goes straight from guest memory. It may span regions that adjoin.
func (m *Memory) WriteTo(dst io.WriterAt, off int64, gpa, n uint64) error {
	if err := m.checkSpan(gpa, n, false); err != nil {
		return err
	}
	for n > 0 {
		b := m.rest(gpa)
		b = b[:min(n, uint64(len(b)))]
		done, err := dst.WriteAt(b, off)
		if err != nil {
			return err
		}
		gpa, n, off = gpa+uint64(done), n-uint64(done), off+int64(done)
	}
	return nil
}
