package block

import (
	"context"
	"sync"
)

// File is a Layer whose bytes are those of a file or a block device of the host:
// what image formats lie in. Cache modes, O_DIRECT and locks are those of [Raw].
type File struct {
	raw      *Raw
	requests sync.Pool // of *Request
}

var (
	_ Layer     = (*File)(nil)
	_ Resizer   = (*File)(nil)
	_ Mapper    = (*File)(nil)
	_ TryReader = (*File)(nil)
	_ Briefer   = (*File)(nil)
	_ Shaper    = (*File)(nil)
)

// OpenFile opens a file or a block device as [Open] does. A write is durable
// after Flush alone: with CacheWritethrough the [Disk] on top sees to the flush,
// as it has to wait for the tables of a format as well.
func OpenFile(ctx context.Context, o Options) (*File, error) {
	if o.Cache == CacheWritethrough {
		o.Cache = CacheWriteback
	}
	o.Engine = EngineThreads // which has no part in Do
	raw, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &File{raw: raw, requests: sync.Pool{New: func() any { return new(Request) }}}, nil
}

// Path is the file or device as it was given.
func (f *File) Path() string { return f.raw.Path() }

// Size implements [Layer].
func (f *File) Size() int64 { return f.raw.Size() }

// ReadOnly implements [Layer].
func (f *File) ReadOnly() bool { return f.raw.ReadOnly() }

// Brief implements [Briefer].
func (f *File) Brief() bool { return f.raw.Brief() }

// Topology implements [Shaper].
func (f *File) Topology() Topology { return f.raw.Topology() }

// do carries out a request of the pool's.
func (f *File) do(o Request) error {
	r := f.requests.Get().(*Request)
	r.Op, r.Unmap, r.Offset, r.Length, r.Vec = o.Op, o.Unmap, o.Offset, o.Length, o.Vec
	err := f.raw.Do(r)
	f.put(r)
	return err
}

// put gives a request back without the memory of its caller.
func (f *File) put(r *Request) {
	r.Vec, r.Err = nil, nil
	f.requests.Put(r)
}

// ReadVec implements [Layer].
func (f *File) ReadVec(vec [][]byte, offset int64) error {
	return f.do(Request{Op: Read, Offset: offset, Vec: vec})
}

// TryReadVec implements [TryReader]: it reads what is in the page cache.
func (f *File) TryReadVec(vec [][]byte, offset int64) bool {
	if f.raw.direct != nil {
		return false
	}
	r := f.requests.Get().(*Request)
	r.Op, r.Offset, r.Vec = Read, offset, vec
	done := f.raw.tryRead(r)
	f.put(r)
	return done
}

// WriteVec implements [Layer].
func (f *File) WriteVec(vec [][]byte, offset int64) error {
	return f.do(Request{Op: Write, Offset: offset, Vec: vec})
}

// WriteZeroes implements [Layer].
func (f *File) WriteZeroes(offset, length int64, unmap bool) error {
	return f.do(Request{Op: WriteZeroes, Offset: offset, Length: length, Unmap: unmap})
}

// Discard implements [Layer].
func (f *File) Discard(offset, length int64) error {
	return f.do(Request{Op: Discard, Offset: offset, Length: length})
}

// Flush implements [Layer].
func (f *File) Flush() error { return f.do(Request{Op: Flush}) }

// Resize implements [Resizer]. See [Raw.Resize].
func (f *File) Resize(size int64) error { return f.raw.Resize(size) }

// Refresh looks at the size again, after something else has changed it.
func (f *File) Refresh() error { return f.raw.Refresh() }

// Map implements [Mapper] by the holes of a file.
func (f *File) Map(offset, length int64) (Extent, error) { return f.raw.extent(offset, length) }

// Close implements [Layer].
func (f *File) Close() error { return f.raw.Close() }
