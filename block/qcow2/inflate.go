package qcow2

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/govmm/govmm/block"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is the most memory that decompressing zstd may need for its window,
// in bytes: four clusters of the largest size.
const maxWindow = 8 << 20

// inflater decompresses clusters, and keeps the last one.
type inflater struct {
	kind Compression

	mu    sync.Mutex
	at    int64 // of the compressed data of last
	last  []byte
	input []byte
	zlib  io.ReadCloser
	zstd  *zstd.Decoder
	from  bytes.Reader
}

// readCompressed fills a stretch of a compressed cluster, from byte skip of vec on.
func (d *Image) readCompressed(s stretch, vec [][]byte, skip, pos int64) error {
	f := &d.inflater
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil || f.at != s.at {
		if err := d.inflate(s); err != nil {
			f.at = 0
			return err
		}
		f.at = s.at
	}
	within := pos & (d.cluster - 1)
	block.Scatter(vec, skip, f.last[within:within+s.length])
	return nil
}

// inflate decompresses a cluster into the inflater's memory.
func (d *Image) inflate(s stretch) error {
	f := &d.inflater
	if end := d.end.Load(); s.at >= end {
		return corrupt("compressed data at %#x is beyond the end of the image", s.at)
	}
	if f.last == nil {
		f.last = make([]byte, d.cluster)
	}
	f.input = slices.Grow(f.input[:0], s.packed)[:s.packed]
	if err := d.readBelow([][]byte{f.input}, int64(s.packed), s.at); err != nil {
		return err
	}
	f.from.Reset(f.input)
	r, err := f.reader()
	if err != nil {
		return err
	}
	// The last sector may go on behind the data, so the end is not looked at.
	if _, err := io.ReadFull(r, f.last); err != nil {
		return corrupt("compressed data at %#x: %v", s.at, err)
	}
	return nil
}

// reader decompresses what is in from.
func (f *inflater) reader() (io.Reader, error) {
	if f.kind == Zstd {
		if f.zstd == nil {
			z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, fmt.Errorf("zstd: %w", err)
			}
			f.zstd = z
		}
		return f.zstd, f.zstd.Reset(&f.from)
	}
	if f.zlib == nil {
		f.zlib = flate.NewReader(&f.from)
		return f.zlib, nil
	}
	return f.zlib, f.zlib.(flate.Resetter).Reset(&f.from, nil)
}

// forget is told that compressed data may be gone.
func (f *inflater) forget() {
	f.mu.Lock()
	f.at = 0
	f.mu.Unlock()
}

// close gives back what decompressing took.
func (f *inflater) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.zstd != nil {
		f.zstd.Close()
		f.zstd = nil
	}
}
