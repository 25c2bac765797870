package queue_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// newChain is a chain whose readable part is the strings, a buffer each, and
// whose writable part has buffers of the lengths.
func newChain(t *testing.T, in []string, out ...uint32) (*queue.Chain, func() string) {
	t.Helper()
	d := queuetest.New(t, newMemory(t), queuetest.Options{Size: 16, Base: 0x10000})
	q := d.Start()
	var bufs []queuetest.Buffer
	for _, s := range in {
		bufs = append(bufs, d.Readable([]byte(s)))
	}
	for _, n := range out {
		b := d.Writable(n)
		copy(d.Bytes(b), strings.Repeat(".", int(n)))
		bufs = append(bufs, b)
	}
	d.Add(bufs...)
	d.Publish()
	return pop(t, q), func() string {
		var s strings.Builder
		for _, b := range bufs[len(in):] {
			s.Write(d.Bytes(b))
		}
		return s.String()
	}
}

func TestReader(t *testing.T) {
	c, _ := newChain(t, []string{"abc", "d", "efgh"})
	if err := iotest.TestReader(struct{ io.Reader }{c.Reader()}, []byte("abcdefgh")); err != nil {
		t.Error(err)
	}
}

func TestReaderIsTheSame(t *testing.T) {
	c, _ := newChain(t, []string{"abc"})
	var p [2]byte
	if err := c.Reader().ReadFull(p[:]); err != nil {
		t.Fatal(err)
	}
	if n := c.Reader().Len(); n != 1 {
		t.Errorf("Len: %d, want 1", n)
	}
	if n := c.Writer().Len(); n != 0 {
		t.Errorf("Len of the writer: %d, want 0", n)
	}
}

func TestReaderShort(t *testing.T) {
	c, _ := newChain(t, []string{"ab", "c"})
	r := c.Reader()
	_, err16 := r.Split(4)
	for name, err := range map[string]error{
		"ReadFull": r.ReadFull(make([]byte, 4)),
		"Skip":     r.Skip(4),
		"Skip(-1)": r.Skip(-1),
		"Split":    err16,
	} {
		if !errors.Is(err, queue.ErrShort) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Uint32(); !errors.Is(err, queue.ErrShort) {
		t.Errorf("Uint32: %v", err)
	}
	if _, err := r.Uint64(); !errors.Is(err, queue.ErrShort) {
		t.Errorf("Uint64: %v", err)
	}
	if got, err := r.Uint16(); got != 'a'|'b'<<8 || err != nil {
		t.Errorf("Uint16: %#x, %v", got, err)
	}
	if got, err := r.Uint8(); got != 'c' || err != nil {
		t.Errorf("Uint8: %#x, %v", got, err)
	}
	if _, err := r.Uint8(); !errors.Is(err, queue.ErrShort) {
		t.Errorf("Uint8 at the end: %v", err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read at the end: %d, %v", n, err)
	}
}

// TestNumbers reads and writes numbers that lie across buffers.
func TestNumbers(t *testing.T) {
	c, written := newChain(t, []string{"\x01", "\x02\x03", "\x04\x05\x06\x07\x08", "\x09\x0a\x0b\x0c\x0d\x0e\x0f"}, 1, 3, 4, 7)
	r, w := c.Reader(), c.Writer()
	v8, err8 := r.Uint8()
	v16, err16 := r.Uint16()
	v32, err32 := r.Uint32()
	v64, err64 := r.Uint64()
	if err := errors.Join(err8, err16, err32, err64); err != nil {
		t.Fatal(err)
	}
	if v8 != 1 || v16 != 0x0302 || v32 != 0x07060504 || v64 != 0x0f0e0d0c0b0a0908 {
		t.Errorf("read %#x %#x %#x %#x", v8, v16, v32, v64)
	}
	if err := errors.Join(w.PutUint8(v8), w.PutUint16(v16), w.PutUint32(v32), w.PutUint64(v64)); err != nil {
		t.Fatal(err)
	}
	if got, want := written(), "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"; got != want {
		t.Errorf("wrote %q", got)
	}
	if err := w.PutUint8(0); !errors.Is(err, queue.ErrShort) {
		t.Errorf("PutUint8 at the end: %v", err)
	}
}

func TestWriter(t *testing.T) {
	c, written := newChain(t, nil, 3, 1, 4, 2)
	w := c.Writer()
	if n, err := w.Write([]byte("ab")); n != 2 || err != nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := w.Zero(2); err != nil {
		t.Error(err)
	}
	if n, err := w.ReadFull(strings.NewReader("cdefg"), 3); n != 3 || err != nil {
		t.Errorf("ReadFull: %d, %v", n, err)
	}
	if n, err := w.ReadFull(strings.NewReader("h"), 3); n != 1 || err != io.ErrUnexpectedEOF && err != io.EOF {
		t.Errorf("ReadFull of too little: %d, %v", n, err)
	}
	for name, err := range map[string]error{
		"WriteFull": w.WriteFull([]byte("xyz")),
		"Zero":      w.Zero(3),
		"Zero(-1)":  w.Zero(-1),
		"PutUint32": w.PutUint32(0),
	} {
		if !errors.Is(err, queue.ErrShort) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := w.ReadFull(strings.NewReader("xyz"), 3); n != 0 || !errors.Is(err, queue.ErrShort) {
		t.Errorf("ReadFull without room: %d, %v", n, err)
	}
	if n, err := w.Write([]byte("ijk")); n != 2 || err != io.ErrShortWrite {
		t.Errorf("Write without room: %d, %v", n, err)
	}
	if got, want := written(), "ab\x00\x00cdehij"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestWriteTo(t *testing.T) {
	c, _ := newChain(t, []string{"abc", "def"})
	r := c.Reader()
	front, err := r.Split(4)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := front.WriteTo(&b); n != 4 || err != nil || b.String() != "abcd" {
		t.Errorf("WriteTo: %d, %v, %q", n, err, b.String())
	}
	if n, err := r.WriteTo(shortWriter{}); n != 1 || err != io.ErrShortWrite {
		t.Errorf("WriteTo a short writer: %d, %v", n, err)
	}
	if n := r.Len(); n != 1 {
		t.Errorf("Len: %d, want 1", n)
	}
}

// shortWriter takes a byte at a time, which is against io.Writer's rules.
type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) { return 1, nil }

// TestIovecs cuts the front and the end off a chain in all ways.
func TestIovecs(t *testing.T) {
	const all = "abcdefgh"
	c, _ := newChain(t, []string{"abc", "d", "efgh"})
	for from := 0; from <= len(all); from++ {
		for to := from; to <= len(all); to++ {
			r := *c.Reader()
			if err := r.Skip(from); err != nil {
				t.Fatal(err)
			}
			front, err := r.Split(to - from)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for _, b := range front.Iovecs() {
				if len(b) == 0 {
					t.Errorf("[%d:%d]: empty element", from, to)
				}
				got = append(got, b...)
			}
			var rest []byte
			for _, b := range r.Iovecs() {
				rest = append(rest, b...)
			}
			if string(got) != all[from:to] || string(rest) != all[to:] {
				t.Errorf("[%d:%d]: %q and %q", from, to, got, rest)
			}
			if front.Len() != to-from {
				t.Errorf("[%d:%d]: Iovecs changed Len to %d", from, to, front.Len())
			}
		}
	}
	if n := c.Reader().Len(); n != len(all) {
		t.Errorf("Len: %d", n)
	}
}

// TestWriteThroughIovecs is how a back end fills a chain.
func TestWriteThroughIovecs(t *testing.T) {
	c, written := newChain(t, nil, 3, 3, 1)
	w := c.Writer()
	data, err := w.Split(w.Len() - 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range data.Iovecs() {
		copy(b, "xxxxxx")
	}
	if err := w.PutUint8('S'); err != nil {
		t.Fatal(err)
	}
	if got := written(); got != "xxxxxxS" {
		t.Errorf("wrote %q", got)
	}
}

// TestHighRAM has rings and buffers above 4 GiB.
func TestHighRAM(t *testing.T) {
	mem, err := memory.New(memory.Config{Size: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	mem.StartDirtyTracking()
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		o.Base = memory.HighStart + 0x10000
		d := queuetest.New(t, mem, o)
		q := d.Start()
		out := d.Writable(100)
		d.Add(d.Readable([]byte("high")), out)
		// Buffers must not reach from one part of RAM to the other.
		low, _ := memory.Split(mem.Size())
		d.Add(queuetest.Buffer{Addr: low - 1, Len: 1})
		d.Add(queuetest.Buffer{Addr: low - 1, Len: 2})
		d.Publish()
		c := pop(t, q)
		if got, _ := io.ReadAll(c.Reader()); string(got) != "high" {
			t.Errorf("read %q", got)
		}
		log := make([]uint64, 64)
		if err := mem.TakeDirty(memory.HighStart, log); err != nil {
			t.Fatal(err)
		}
		q.Push(c, 0)
		if err := mem.TakeDirty(memory.HighStart, log); err != nil {
			t.Fatal(err)
		}
		page := (out.Addr - memory.HighStart) / memory.PageSize
		if log[page/64]>>(page%64)&1 == 0 {
			t.Error("the answer's page is not marked")
		}
		if n := pop(t, q).Reader().Len(); n != 1 {
			t.Errorf("Len: %d, want 1", n)
		}
		if _, err := q.Pop(); !errors.Is(err, queue.BufferOutside) {
			t.Errorf("buffer over the end of low RAM: %v", err)
		}
	})
}

func TestEndOfHighRAM(t *testing.T) {
	mem, err := memory.New(memory.Config{Size: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		o.Base = 0x10000
		d := queuetest.New(t, mem, o)
		q := d.Start()
		_, high := memory.Split(mem.Size())
		d.Add(queuetest.Buffer{Addr: memory.HighStart + high - 1, Len: 1})
		d.Add(queuetest.Buffer{Addr: memory.HighStart + high - 1, Len: 2})
		d.Publish()
		pop(t, q)
		if _, err := q.Pop(); !errors.Is(err, queue.BufferOutside) {
			t.Errorf("buffer over the end of high RAM: %v", err)
		}
	})
}

// TestPushMoreThanThereIs: what the driver is told never exceeds its buffers.
func TestPushMoreThanThereIs(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		d.Add(d.Writable(7))
		d.Publish()
		q.Push(pop(t, q), math.MaxUint32)
		q.Flush()
		if u, ok := d.Used(); !ok || u.Len != 7 {
			t.Errorf("used %v, %v; want 7 bytes", u, ok)
		}
	})
}
