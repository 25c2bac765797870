package qcow

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"golang.org/x/sys/unix"
)

// compressed is the bit of an entry whose cluster is.
const compressed = 1 << 63

// keptClusters is how many clusters are kept that were decompressed: at most 1 MiB.
const keptClusters = 16

// packed keeps clusters that were decompressed lately.
type packed struct {
	mu   sync.Mutex
	kept [keptClusters]struct {
		entry uint64 // of the L2 table; 0 for none
		data  []byte // does not change
	}
	next int

	readers sync.Pool // of *inflater
}

// inflater decompresses.
type inflater struct {
	source bytes.Reader
	flate  io.ReadCloser
	buf    []byte // of what is compressed
}

func newPacked() *packed {
	p := &packed{}
	p.readers.New = func() any {
		r := &inflater{}
		r.flate = flate.NewReader(&r.source)
		return r
	}
	return p
}

// find returns the cluster of an entry if it is kept.
func (p *packed) find(entry uint64) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.kept {
		if p.kept[i].entry == entry {
			return p.kept[i].data
		}
	}
	return nil
}

func (p *packed) keep(entry uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept[p.next].entry, p.kept[p.next].data = entry, data
	p.next = (p.next + 1) % keptClusters
}

// unpack returns the cluster of an entry, decompressed.
func (d *Image) unpack(at int64, entry uint64) ([]byte, error) {
	if data := d.packed.find(entry); data != nil {
		return data, nil
	}
	offset := entry & (1<<(63-d.shift) - 1)
	size := int64(entry>>(63-d.shift)) & (d.cluster - 1)
	if !d.inside(offset, size) {
		return nil, badEntry("L2", at, entry)
	}
	r := d.packed.readers.Get().(*inflater)
	defer d.packed.readers.Put(r)
	if int64(cap(r.buf)) < size {
		r.buf = make([]byte, d.cluster)
	}
	buf := r.buf[:size]
	if err := d.below.ReadVec([][]byte{buf}, int64(offset)); err != nil {
		return nil, err
	}
	r.source.Reset(buf)
	if err := r.flate.(flate.Resetter).Reset(&r.source, nil); err != nil {
		return nil, err
	}
	data := make([]byte, d.cluster)
	if _, err := io.ReadFull(r.flate, data); err != nil {
		return nil, fmt.Errorf("%w: the compressed cluster at %#x: %v: %w", ErrCorrupt, offset, err, unix.EIO)
	}
	d.packed.keep(entry, data)
	return data, nil
}
