package qcow2

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/govmm/govmm/block"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// deflateWindow is how far compressed data may refer back, in bytes. QEMU's
// decompressor has no longer window.
const deflateWindow = 4096

// packer places compressed data one behind the other.
type packer struct {
	kind Compression

	mu   sync.Mutex
	next int64 // where there is room behind the last; 0 is nowhere
	end  int64 // of the cluster that next is in
}

// forget is told that the last cluster may be free.
func (p *packer) forget() {
	p.mu.Lock()
	p.next = 0
	p.mu.Unlock()
}

// compress compresses a cluster. It is nil if that takes no less room.
func (k Compression) compress(cluster []byte) ([]byte, error) {
	var out bytes.Buffer
	if k == Zstd {
		z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(max(zstd.MinWindowSize, len(cluster))), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		if _, err := z.Write(cluster); err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		if err := z.Close(); err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
	} else {
		z, err := flate.NewWriterWindow(&out, deflateWindow)
		if err != nil {
			return nil, fmt.Errorf("zlib: %w", err)
		}
		if _, err := z.Write(cluster); err != nil {
			return nil, fmt.Errorf("zlib: %w", err)
		}
		if err := z.Close(); err != nil {
			return nil, fmt.Errorf("zlib: %w", err)
		}
	}
	if out.Len() >= len(cluster) {
		return nil, nil
	}
	return out.Bytes(), nil
}

// WriteCompressed writes a whole cluster of the disk compressed, or as it is if it
// does not get smaller so. The offset is a multiple of [Image.ClusterSize], and the
// length that, but for the last cluster of the disk, which may be shorter. Any
// number of goroutines may compress at a time.
func (d *Image) WriteCompressed(offset int64, cluster []byte) error {
	n := int64(len(cluster))
	if err := d.checkWrite(offset, n); err != nil {
		return err
	}
	if !d.aligned(offset) || n > d.cluster || n < d.cluster && offset+n != d.size.Load() {
		return fmt.Errorf("%d bytes at %d are no cluster of the disk, which has %d: %w", n, offset, d.cluster, block.ErrOutOfRange)
	}
	whole := cluster
	if n < d.cluster {
		whole = append(make([]byte, 0, d.cluster), cluster...)[:d.cluster]
	}
	packed, err := d.packer.kind.compress(whole)
	if err != nil {
		return err
	}
	if packed == nil {
		return d.WriteVec([][]byte{cluster}, offset)
	}
	return d.change(func() error { return d.writePacked(offset, packed) })
}

// writePacked writes the compressed data of a cluster.
func (d *Image) writePacked(pos int64, p []byte) error {
	number := pos >> d.bits
	d.flights.begin(number, number)
	defer d.flights.end(number, number)
	if _, err := d.owned(d.l1Index(pos)); err != nil {
		return err
	}
	at, err := d.placePacked(int64(len(p)))
	if err != nil {
		return err
	}
	if at+int64(len(p)) > 1<<(62-(d.bits-8)) {
		err = fmt.Errorf("the image is too long for compressed data: %w", unix.EFBIG)
	}
	if err == nil {
		err = d.writeBelow([][]byte{p}, at)
	}
	if err == nil {
		err = d.edit(pos, pos+d.cluster, func(entry, uint32) entry {
			return entry{compressed: true, host: at, length: len(p)}
		})
	}
	if err != nil {
		d.packer.forget()
		err = errors.Join(err, d.refs.drop(span{at, int64(len(p))}))
	}
	return err
}

// placePacked counts references to room for n bytes, less than a cluster.
func (d *Image) placePacked(n int64) (at int64, err error) {
	k := &d.packer
	k.mu.Lock()
	defer k.mu.Unlock()
	within := k.next != 0
	if within {
		// The count of the cluster may be at its limit.
		if within, err = d.refs.again(k.next); err != nil {
			return 0, err
		}
	}
	if within && k.next+n <= k.end {
		at = k.next
		k.advance(at+n, k.end)
		return at, nil
	}
	c, _, err := d.refs.take(1)
	if err == nil && within && c.at == k.end {
		at = k.next // and goes on in the new one
		k.advance(at+n, c.at+d.cluster)
		return at, nil
	}
	if within {
		err = errors.Join(err, d.refs.drop(span{k.next, 1}))
	}
	if err != nil {
		return 0, err
	}
	k.advance(c.at+n, c.at+d.cluster)
	return c.at, nil
}

// advance notes where the last compressed data ends.
func (k *packer) advance(next, end int64) {
	k.next, k.end = next, end
	if next == end {
		k.next = 0
	}
}
