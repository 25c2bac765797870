package coredump

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Machine is what is dumped. It must not change meanwhile.
type Machine struct {
	CPUs    []CPU
	Regions []Region // by address, not overlapping
}

// Region is a part of the guest's RAM.
type Region struct {
	GPA    uint64 // where it starts
	Memory []byte // a multiple of 4096 bytes
}

// Size is how many bytes of RAM there are, which Progress counts.
func (m Machine) Size() (total uint64) {
	for _, r := range m.Regions {
		total += uint64(len(r.Memory))
	}
	return total
}

// Options are how it is dumped.
type Options struct {
	// Compress makes the file a zstd stream.
	Compress bool
	// Progress is called, if it is not nil, when some more of the machine's Size has
	// been done, and with everything at the end. It must not wait.
	Progress func(done uint64)
}

const (
	pageSize = 4096
	// chunk is how much is written between two looks at the context.
	chunk = 1 << 20

	headerSize  = 64
	segmentSize = 56
)

// WriteFile makes or overwrites the file with the name given, which the owner alone can
// read: a guest's memory is full of secrets. When it fails, or ctx is done, no file is
// left. It may be a device or a pipe, which are left alone.
func WriteFile(ctx context.Context, name string, m Machine, o Options) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOCTTY|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	defer func() {
		if err != nil && info != nil && info.Mode().IsRegular() {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	// A pipe that nobody reads is not waited for longer than ctx. A regular file has
	// no deadlines, and needs none.
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(unixEpoch) })
	defer stop()
	if err == nil {
		var w io.Writer = f
		if info.Mode().IsRegular() && !o.Compress {
			w = &sparseFile{file: f}
		}
		err = Write(ctx, w, m, o)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("core dump %s: %w", name, err)
	}
	return nil
}

// Write writes a machine as a stream. When ctx is done it stops, with the context's
// cause.
func Write(ctx context.Context, w io.Writer, m Machine, o Options) error {
	if o.Compress {
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2))
		if err != nil {
			return err
		}
		err = write(ctx, z, m, o.Progress)
		return errors.Join(err, z.Close())
	}
	return write(ctx, w, m, o.Progress)
}

func write(ctx context.Context, w io.Writer, m Machine, progress func(uint64)) error {
	if progress == nil {
		progress = func(uint64) {}
	}
	if _, err := w.Write(head(m)); err != nil {
		return err
	}
	done := uint64(0)
	for _, r := range m.Regions {
		for rest := r.Memory; len(rest) > 0; {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			n, err := w.Write(rest[:min(chunk, len(rest))])
			if err != nil {
				return err
			}
			rest, done = rest[n:], done+uint64(n)
			progress(done)
		}
	}
	if s, ok := w.(*sparseFile); ok {
		return s.finish()
	}
	return nil
}

// head is what comes before the RAM. It fills whole pages.
func head(m Machine) []byte {
	notes := notes(m.CPUs)
	segments := 1 + len(m.Regions)
	first := uint64(headerSize + segmentSize*segments) // of the notes
	ram := (first + uint64(len(notes)) + pageSize - 1) &^ (pageSize - 1)

	var b bytes.Buffer
	put := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // to memory, which does not fail
	h := elf.Header64{
		Type: uint16(elf.ET_CORE), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: headerSize, Ehsize: headerSize, Phentsize: segmentSize, Phnum: uint16(segments),
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	h.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	put(h)
	put(elf.Prog64{Type: uint32(elf.PT_NOTE), Off: first, Filesz: uint64(len(notes)), Memsz: uint64(len(notes)), Align: 4})
	at := ram
	for _, r := range m.Regions {
		size := uint64(len(r.Memory))
		put(elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W | elf.PF_X),
			Off: at, Vaddr: r.GPA, Paddr: r.GPA, Filesz: size, Memsz: size, Align: pageSize,
		})
		at += size
	}
	b.Write(notes)
	return pad(b.Bytes(), pageSize)
}
