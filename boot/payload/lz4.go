package payload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"

	"github.com/pierrec/lz4/v4"
	"golang.org/x/sync/errgroup"
)

// The legacy LZ4 frame, from the section "Legacy frame" of the LZ4 frame
// format description:
//
//	magic 0x184C2102
//	repeated: compressed size (32 bits), block
//
// Every block but the last unpacks to exactly 8 MiB and refers to no other
// block, so blocks can be unpacked side by side.
const (
	lz4LegacyMagic = 0x184C2102
	lz4BlockSize   = 8 << 20
)

// lz4MaxWorkers bounds the blocks unpacked at once, and so the working memory:
// up to twice lz4BlockSize each. A kernel has about eight blocks.
const lz4MaxWorkers = 4

// legacyLZ4 unpacks a legacy LZ4 frame.
type legacyLZ4 struct {
	src    *io.SectionReader
	blocks []lz4Block
	first  []byte // the first block, once it was unpacked for peek
}

// lz4Block is where one compressed block lies in the source.
type lz4Block struct {
	off  int64
	size int
}

// newLegacyLZ4 finds the blocks of src up to unpacked offset limit.
func newLegacyLZ4(src *io.SectionReader, limit int64) (*legacyLZ4, error) {
	z := &legacyLZ4{src: src}
	for off := int64(0); off < src.Size() && int64(len(z.blocks))*lz4BlockSize < limit; {
		var word [4]byte
		if err := ReadAt(context.Background(), src, word[:], off); err != nil {
			return nil, fmt.Errorf("block size at offset %d: %w", off, err)
		}
		size := binary.LittleEndian.Uint32(word[:])
		off += int64(len(word))
		if size == lz4LegacyMagic { // also between blocks: frames may follow each other
			continue
		}
		if len(z.blocks) == 0 && off == int64(len(word)) {
			return nil, fmt.Errorf("magic number is %#x, want %#x", size, lz4LegacyMagic)
		}
		if size == 0 || int64(size) > int64(lz4.CompressBlockBound(lz4BlockSize)) || int64(size) > src.Size()-off {
			return nil, fmt.Errorf("block at offset %d has a size of %d bytes, and %d follow", off, size, src.Size()-off)
		}
		z.blocks = append(z.blocks, lz4Block{off, int(size)})
		off += int64(size)
	}
	if len(z.blocks) == 0 {
		return nil, errors.New("no blocks")
	}
	return z, nil
}

// peek returns the first block.
func (z *legacyLZ4) peek() ([]byte, error) {
	if z.first == nil {
		var w lz4Worker
		block, err := w.unpack(z, 0, make([]byte, lz4BlockSize))
		if err != nil {
			return nil, err
		}
		z.first = block
	}
	return z.first, nil
}

// readParts fills the parts, which are sorted.
func (z *legacyLZ4) readParts(ctx context.Context, parts []Part) error {
	if n := len(parts); n > 0 && parts[n-1].end() > int64(len(z.blocks))*lz4BlockSize {
		return endedAt(io.ErrUnexpectedEOF, int64(len(z.blocks))*lz4BlockSize)
	}
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(runtime.GOMAXPROCS(0), lz4MaxWorkers, len(z.blocks)) {
		g.Go(func() error {
			var w lz4Worker
			for {
				i := int(next.Add(1) - 1)
				if i >= len(z.blocks) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := w.fill(z, i, parts); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// lz4Worker is one goroutine's working memory.
type lz4Worker struct {
	packed  []byte
	scratch []byte
}

// fill unpacks block i for the parts that want some of it.
func (w *lz4Worker) fill(z *legacyLZ4, i int, parts []Part) error {
	start := int64(i) * lz4BlockSize
	end := start + lz4BlockSize
	var block []byte
	for _, p := range parts {
		from, to := max(p.Off, start), min(p.end(), end)
		if from >= to {
			continue
		}
		dst := p.Dst[from-p.Off : to-p.Off]
		var err error
		switch {
		case block != nil:
		case i == 0 && z.first != nil:
			block = z.first
		case len(dst) == lz4BlockSize:
			_, err = w.unpack(z, i, dst)
			return err // nobody else wants the block
		default:
			if w.scratch == nil {
				w.scratch = make([]byte, lz4BlockSize)
			}
			if block, err = w.unpack(z, i, w.scratch); err != nil {
				return err
			}
		}
		if to-start > int64(len(block)) {
			return endedAt(io.ErrUnexpectedEOF, start+int64(len(block)))
		}
		copy(dst, block[from-start:to-start])
	}
	return nil
}

// unpack unpacks block i into dst, of lz4BlockSize bytes.
func (w *lz4Worker) unpack(z *legacyLZ4, i int, dst []byte) ([]byte, error) {
	b := z.blocks[i]
	if cap(w.packed) < b.size {
		w.packed = make([]byte, b.size)
	}
	if err := ReadAt(context.Background(), z.src, w.packed[:b.size], b.off); err != nil {
		return nil, fmt.Errorf("block at offset %d: %w", b.off, err)
	}
	n, err := lz4.UncompressBlock(w.packed[:b.size], dst)
	if err != nil {
		return nil, fmt.Errorf("block at offset %d: %w", b.off, err)
	}
	if n < lz4BlockSize && i < len(z.blocks)-1 {
		return nil, fmt.Errorf("block at offset %d unpacks to %d bytes, and others follow", b.off, n)
	}
	return dst[:n], nil
}
