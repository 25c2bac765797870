package block

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bufferSize is how much of a misaligned request is moved at once, in bytes.
const bufferSize = 256 << 10

// buffer is aligned memory outside the Go heap.
type buffer struct {
	mem []byte
	iov []unix.Iovec // one entry
}

func newBuffer() (*buffer, error) {
	mem, err := unix.Mmap(-1, 0, bufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	return &buffer{mem: mem, iov: make([]unix.Iovec, 1)}, nil
}

func (b *buffer) free() {
	// It can only fail for an address that was not mapped.
	_ = unix.Munmap(b.mem)
}

// transfer moves the bytes [from, to) of the buffer, by preadv2 or pwritev2.
func (b *buffer) transfer(trap uintptr, fd int, from, to int, offset int64, flags int) (int64, error) {
	p := b.mem[from:to]
	b.iov[0].Base = unsafe.SliceData(p)
	b.iov[0].SetLen(len(p))
	return vectored(trap, fd, b.iov, offset, flags)
}

// buffers keeps buffers for the next request. There are never more than have
// been in use at one time, which is one a worker thread and caller of Do.
type buffers struct {
	mu   sync.Mutex
	free []*buffer
}

func (p *buffers) get() (*buffer, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return b, nil
	}
	p.mu.Unlock()
	return newBuffer()
}

func (p *buffers) put(b *buffer) {
	p.mu.Lock()
	p.free = append(p.free, b)
	p.mu.Unlock()
}

func (p *buffers) close() {
	for _, b := range p.free {
		b.free()
	}
	p.free = nil
}

// window is the part of a misaligned request that one buffer holds: the units
// [from, to) of the disk, of which [pos, end) belong to the request.
type window struct {
	from, pos, end, to int64
}

// next is the window for what is left of a request.
func (x *direct) next(r *Request) window {
	mask := int64(x.unit - 1)
	var w window
	w.pos = r.Offset + r.moved
	w.from = w.pos &^ mask
	w.to = min((r.Offset+r.total+mask)&^mask, w.from+bufferSize)
	w.end = min(w.to, r.Offset+r.total)
	return w
}

func (d *Raw) bounceRead(r *Request) error {
	b, err := d.direct.buffers.get()
	if err != nil {
		return err
	}
	defer d.direct.buffers.put(b)
	for r.moved < r.total {
		w := d.direct.next(r)
		if err := d.fill(b, 0, int(w.to-w.from), w.from); err != nil {
			return err
		}
		Scatter(r.Vec, r.moved, b.mem[w.pos-w.from:w.end-w.from])
		r.moved += w.end - w.pos
	}
	return nil
}

// bounceWrite needs the edge lock: exclusively, if it writes part of a unit.
func (d *Raw) bounceWrite(r *Request) error {
	b, err := d.direct.buffers.get()
	if err != nil {
		return err
	}
	defer d.direct.buffers.put(b)
	unit := d.direct.unit
	for r.moved < r.total {
		w := d.direct.next(r)
		n := int(w.to - w.from)
		if w.pos > w.from {
			if err := d.fill(b, 0, unit, w.from); err != nil {
				return err
			}
		}
		if w.end < w.to && (n > unit || w.pos == w.from) {
			if err := d.fill(b, n-unit, n, w.to-int64(unit)); err != nil {
				return err
			}
		}
		Gather(b.mem[w.pos-w.from:w.end-w.from], r.Vec, r.moved)
		if err := d.drainBuffer(b, n, w.from); err != nil {
			return err
		}
		r.moved += w.end - w.pos
	}
	return nil
}

// fill reads into [from, to) of a buffer. A file's end reads as zeroes.
func (d *Raw) fill(b *buffer, from, to int, offset int64) error {
	for from < to {
		n, err := b.transfer(unix.SYS_PREADV2, d.fd, from, to, offset, 0)
		if err != nil {
			return err
		}
		from += int(n)
		offset += n
		if from < to && (n == 0 || d.endsAt(offset)) {
			if d.device {
				return unix.EIO
			}
			clear(b.mem[from:to])
			return nil
		}
	}
	return nil
}

// drainBuffer writes the first n bytes of a buffer.
func (d *Raw) drainBuffer(b *buffer, n int, offset int64) error {
	for from := 0; from < n; {
		p := b.mem[from:n]
		b.iov[0].Base = unsafe.SliceData(p)
		b.iov[0].SetLen(len(p))
		wrote, err := d.writeSegments(d.fd, b.iov, offset)
		if err != nil {
			return err
		}
		if wrote == 0 {
			return unix.EIO
		}
		from += int(wrote)
		offset += wrote
	}
	return nil
}
