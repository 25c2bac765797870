package queue_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// The rings of the fuzz tests lie at the start of guest memory, in an image
// that the fuzzer writes.
const (
	imageSize = 12 << 10
	fuzzRAM   = 64 << 10
)

// fuzzOptions makes a queue of one of all forms.
func fuzzOptions(form byte, packed bool) queuetest.Options {
	o := queuetest.Options{
		Size: 1 << (form & 7), MaxSize: 128, Room: fuzzRAM - imageSize, Packed: packed,
		EventIndex: form&8 != 0, Indirect: form&16 != 0, InOrder: form&32 != 0,
	}
	if packed && form&64 != 0 {
		o.Size = max(o.Size-1, 1)
	}
	return o
}

// fuzzMemory has room for the rings and some buffers: most of what a fuzzer
// makes of a good address is still one.
func fuzzMemory(t testing.TB, size uint64) *memory.Memory {
	mem, err := memory.New(memory.Config{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

// honestImage is a start for the fuzzer: rings with good requests.
func honestImage(f *testing.F, form byte, packed bool) []byte {
	mem := fuzzMemory(f, fuzzRAM)
	defer mem.Close()
	o := fuzzOptions(form, packed)
	d := queuetest.New(f, mem, o)
	for i := range 4 {
		indirect := o.Indirect && i&1 != 0
		if _, ok := d.TryAdd(indirect, d.Readable([]byte("request")), d.Writable(64), d.Writable(1)); !ok {
			break
		}
	}
	d.Publish()
	image := make([]byte, imageSize)
	if err := mem.ReadAt(image, 0); err != nil {
		f.Fatal(err)
	}
	return image
}

func FuzzSplit(f *testing.F)  { fuzzHostile(f, false) }
func FuzzPacked(f *testing.F) { fuzzHostile(f, true) }

// fuzzHostile gives a device rings that hold anything, and that change while it
// looks at them. steps are what the guest and the device do.
func fuzzHostile(f *testing.F, packed bool) {
	steps := make([]byte, 64)
	for i := range steps {
		steps[i] = byte(i * 37)
	}
	for form := range 128 {
		f.Add(byte(form), honestImage(f, byte(form), packed), steps)
	}
	f.Fuzz(func(t *testing.T, form byte, image, steps []byte) {
		mem := fuzzMemory(t, fuzzRAM)
		defer mem.Close()
		d := queuetest.New(t, mem, fuzzOptions(form, packed))
		q := d.Start()
		ram, err := mem.Slice(0, fuzzRAM)
		if err != nil {
			t.Fatal(err)
		}
		copy(ram, image)
		var held []*queue.Chain
		for i, step := range steps {
			switch step & 7 {
			case 0, 1, 2, 3:
				c, err := q.Pop()
				var v *queue.Violation
				if err != nil && !errors.As(err, &v) {
					t.Fatalf("Pop: %v", err)
				}
				if c == nil {
					continue
				}
				checkChain(t, c, ram)
				if held = append(held, c); len(held) > int(q.Size()) || len(held) != q.InFlight() {
					t.Fatalf("%d chains are in flight in a queue of %d", len(held), q.Size())
				}
			case 4:
				if n := len(held); n > 0 {
					at := int(step>>3) % n
					q.Push(held[at], uint32(step))
					held = append(held[:at], held[at+1:]...)
					// An in-order queue may hold it back.
					if !fuzzOptions(form, packed).InOrder || n == 1 {
						q.Flush()
					} else {
						q.Push(held[0], 0)
						held = held[1:]
						for _, c := range held {
							q.Push(c, 0)
						}
						held = nil
					}
				}
			case 5:
				q.Flush()
			case 6:
				if q.EnableNotify() {
					q.DisableNotify()
				}
			case 7: // the guest writes something somewhere
				if i+3 < len(steps) {
					at := binary.LittleEndian.Uint16(steps[i+1:]) % imageSize
					ram[at] ^= steps[i+3]
				}
			}
		}
	})
}

// checkChain uses a chain in all ways.
func checkChain(t *testing.T, c *queue.Chain, ram []byte) {
	r, w := *c.Reader(), *c.Writer()
	total, count := 0, 0
	for _, bufs := range [][][]byte{r.Iovecs(), w.Iovecs()} {
		count += len(bufs)
		for _, b := range bufs {
			total += len(b)
			offset := uintptr(unsafe.Pointer(&b[0])) - uintptr(unsafe.Pointer(&ram[0]))
			if offset >= fuzzRAM || uintptr(len(b)) > fuzzRAM-offset {
				t.Fatalf("a buffer of %d bytes at %#x is outside RAM", len(b), offset)
			}
		}
	}
	if count == 0 || count > 128 {
		t.Fatalf("a chain of %d buffers", count)
	}
	if total != r.Len()+w.Len() {
		t.Fatalf("buffers of %d bytes, reader of %d and writer of %d", total, r.Len(), w.Len())
	}
	if n, err := r.WriteTo(io.Discard); err != nil || int(n) != c.Reader().Len() {
		t.Fatalf("WriteTo: %d, %v", n, err)
	}
	// What is written may be the rings themselves.
	if err := w.Zero(min(w.Len(), 8)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("answer")); err != nil && !errors.Is(err, io.ErrShortWrite) {
		t.Fatal(err)
	}
}

// byteSource makes random decisions the fuzzer's: a byte for each, as long as
// there are any.
type byteSource struct {
	data []byte
	rest rand.PCG
}

func (s *byteSource) Uint64() uint64 {
	v := s.rest.Uint64()
	if len(s.data) > 0 {
		v = v>>8 | uint64(s.data[0])<<56
		s.data = s.data[1:]
	}
	return v
}

// FuzzHonest holds the device against a driver that keeps to the rules: every
// request arrives as it was sent, and every answer.
func FuzzHonest(f *testing.F) {
	for form := range 128 {
		data := make([]byte, 256)
		rand.NewChaCha8([32]byte{byte(form)}).Read(data)
		f.Add(byte(form), form&1 != 0, data)
	}
	f.Fuzz(func(t *testing.T, form byte, packed bool, data []byte) {
		o := fuzzOptions(form, packed)
		o.Room, o.Indirect = 600<<10, true
		mem := fuzzMemory(t, 1<<20)
		defer mem.Close()
		testRequests(t, mem, o, rand.New(&byteSource{data: data}), 10)
	})
}
