package bus

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder is a device that answers every byte with its id and notes accesses.
type recorder struct {
	id  byte
	log []string
}

func (r *recorder) Read(offset uint64, data []byte) {
	r.log = append(r.log, fmt.Sprintf("r%d+%d", offset, len(data)))
	for i := range data {
		data[i] = r.id
	}
}

func (r *recorder) Write(offset uint64, data []byte) {
	r.log = append(r.log, fmt.Sprintf("w%d=%x", offset, data))
}

func TestAddRefuses(t *testing.T) {
	tests := []struct {
		name       string
		size       uint64 // of the bus
		base, span uint64
		want       string // "" is accepted
	}{
		{"first", 0x10000, 0, 1, ""},
		{"last", 0x10000, 0xFFFF, 1, ""},
		{"empty", 0x10000, 0x10, 0, "is empty"},
		{"beyond", 0x10000, 0xFFFF, 2, "reaches beyond the last address, 0xffff"},
		{"all beyond", 0x10000, 0x10000, 1, "reaches beyond"},
		{"wraps", 0, math.MaxUint64, 2, "wraps around"},
		{"top of 64 bits", 0, math.MaxUint64, 1, ""},
		{"below taken", 0x10000, 0x0F8, 8, ""},
		{"above taken", 0x10000, 0x108, 8, ""},
		{"head overlaps", 0x10000, 0x107, 8, "ports: 0x107-0x10e new overlaps 0x100-0x107 old"},
		{"tail overlaps", 0x10000, 0x0F9, 8, "overlaps 0x100-0x107 old"},
		{"inside", 0x10000, 0x102, 1, "overlaps 0x100-0x107 old"},
		{"around", 0x10000, 0x0F0, 0x100, "overlaps 0x100-0x107 old"},
		{"same", 0x10000, 0x100, 8, "overlaps 0x100-0x107 old"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := New("ports", tt.size)
			if err := b.Add(0x100, 8, "old", &recorder{}); err != nil {
				t.Fatal(err)
			}
			err := b.Add(tt.base, tt.span, "new", &recorder{})
			if tt.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if n := len(b.Ranges()); n != 2 {
					t.Fatalf("%d ranges", n)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if n := len(b.Ranges()); n != 1 {
				t.Fatalf("%d ranges after a refusal", n)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	b := New("ports", 0x10000)
	low, high := &recorder{id: 1}, &recorder{id: 2}
	for _, err := range []error{
		b.Add(0x100, 4, "low", low), b.Add(0x104, 4, "high", high), b.Add(0xFFFE, 2, "top", high),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		addr     uint64
		size     int
		want     []byte
		answered bool
		low      []string
		high     []string
	}{
		{0x100, 1, []byte{1}, true, []string{"r0+1"}, nil},
		{0x100, 4, []byte{1, 1, 1, 1}, true, []string{"r0+4"}, nil},
		{0x103, 1, []byte{1}, true, []string{"r3+1"}, nil},
		{0x102, 4, []byte{1, 1, 2, 2}, true, []string{"r2+1", "r3+1"}, []string{"r0+1", "r1+1"}},
		{0xFE, 4, []byte{0xFF, 0xFF, 1, 1}, true, []string{"r0+1", "r1+1"}, nil},
		{0x107, 2, []byte{2, 0xFF}, true, nil, []string{"r3+1"}},
		{0x200, 4, []byte{0xFF, 0xFF, 0xFF, 0xFF}, false, nil, nil},
		{0xFFFE, 4, []byte{2, 2, 0xFF, 0xFF}, true, nil, []string{"r0+1", "r1+1"}},
		{0x100, 0, []byte{}, false, nil, nil},
	}
	for _, tt := range tests {
		low.log, high.log = nil, nil
		data := make([]byte, tt.size)
		answered := b.Read(tt.addr, data)
		if answered != tt.answered || !bytes.Equal(data, tt.want) {
			t.Errorf("read %#x: %v %x, want %v %x", tt.addr, answered, data, tt.answered, tt.want)
		}
		if !slices.Equal(low.log, tt.low) || !slices.Equal(high.log, tt.high) {
			t.Errorf("read %#x: devices saw %v %v", tt.addr, low.log, high.log)
		}
	}
	low.log, high.log = nil, nil
	if !b.Write(0x102, []byte{1, 2, 3, 4}) || b.Write(0x300, []byte{1}) {
		t.Error("wrong answer to a write")
	}
	if fmt.Sprint(low.log, high.log) != "[w2=01 w3=02] [w0=03 w1=04]" {
		t.Errorf("split write: %v %v", low.log, high.log)
	}
}

func TestTopOfAddressSpace(t *testing.T) {
	b := New("memory", 0)
	low, high := &recorder{id: 1}, &recorder{id: 2}
	if err := b.Add(0, 16, "bottom", low); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(math.MaxUint64, 1, "top", high); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 4)
	b.Read(math.MaxUint64, data)
	if !bytes.Equal(data, []byte{2, 0xFF, 0xFF, 0xFF}) || low.log != nil {
		t.Errorf("got %x, bottom saw %v", data, low.log)
	}
}

func TestMoveAndRemove(t *testing.T) {
	b := New("ports", 0x10000)
	d := &recorder{id: 7}
	if err := b.Add(0x100, 0x10, "bar", d); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(0x200, 0x10, "other", &recorder{}); err != nil {
		t.Fatal(err)
	}
	for _, to := range []uint64{0x1F8, 0x20F, 0xFFF8, math.MaxUint64 - 4} {
		if err := b.Move(0x100, to); err == nil {
			t.Errorf("move to %#x accepted", to)
		}
	}
	if err := b.Move(0x101, 0x400); err == nil {
		t.Error("moved a range that is not there")
	}
	one := make([]byte, 1)
	if !b.Read(0x100, one) {
		t.Error("a refused move lost the range")
	}
	if err := b.Move(0x100, 0x108); err != nil { // overlaps its own old place
		t.Error(err)
	}
	if b.Read(0x107, one) || !b.Read(0x117, one) {
		t.Error("not where it was moved to")
	}
	if err := b.Remove(0x108); err != nil {
		t.Error(err)
	}
	if b.Read(0x108, one) || b.Remove(0x108) == nil {
		t.Error("still there after Remove")
	}
	if got := fmt.Sprint(b.Ranges()); got != "[0x200-0x20f other]" {
		t.Error(got)
	}
}

type null struct{}

func (null) Read(uint64, []byte)  {}
func (null) Write(uint64, []byte) {}

// TestMoveWhileAccessed lets a reader find a range that moves to and fro: it is
// always in one of its two places, and its neighbour never goes away.
func TestMoveWhileAccessed(t *testing.T) {
	b := New("memory", 0)
	if err := b.Add(0x1000, 0x100, "bar", null{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(0x1100, 0x100, "neighbour", null{}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			data := make([]byte, 4)
			for range 20000 {
				if !b.Read(0x1100, data) {
					t.Error("the neighbour was gone")
					return
				}
				b.Read(0x1000, data)
				b.Write(0x2000, data)
			}
		})
	}
	for range 1000 {
		if err := b.Move(0x1000, 0x2000); err != nil {
			t.Fatal(err)
		}
		if err := b.Move(0x2000, 0x1000); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

// portBus is as full as a PC's.
func portBus(tb testing.TB) *Bus {
	b := New("ports", 0x10000)
	for i := range uint64(48) {
		if err := b.Add(0x20+i*0x20, 8, "device", null{}); err != nil {
			tb.Fatal(err)
		}
	}
	return b
}

func TestAccessAllocatesNothing(t *testing.T) {
	b := portBus(t)
	data := make([]byte, 4)
	if n := testing.AllocsPerRun(100, func() {
		b.Read(0x60, data)
		b.Write(0x60, data)
		b.Read(0x66, data) // split
		b.Write(0x9000, data)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRead(b *testing.B) {
	ports := portBus(b)
	data := make([]byte, 4)
	b.Run("same", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ports.Read(0x3E0, data)
		}
	})
	b.Run("varying", func(b *testing.B) {
		b.ReportAllocs()
		i := uint64(0)
		for b.Loop() {
			i = i*5 + 7
			ports.Read(0x20+i%48*0x20, data)
		}
	})
}

// FuzzBus compares the bus with an array that holds the owner of each address.
func FuzzBus(f *testing.F) {
	f.Add([]byte{0, 10, 20, 0, 30, 5, 3, 28, 4, 2, 10, 40, 1, 40, 0, 3, 41, 8})
	f.Fuzz(func(t *testing.T, ops []byte) {
		const size = 64
		b := New("fuzz", size)
		var owner [size]*recorder
		started := map[uint64]*recorder{} // by base
		for id := byte(1); len(ops) >= 3 && id < 200; ops, id = ops[3:], id+1 {
			base, arg := uint64(ops[1]%80), uint64(ops[2]%80)
			free := func(base, n uint64, self *recorder) bool {
				if n == 0 || base+n > size {
					return false
				}
				for _, o := range owner[base : base+n] {
					if o != nil && o != self {
						return false
					}
				}
				return true
			}
			fill := func(base, n uint64, d *recorder) {
				for i := range n {
					owner[base+i] = d
				}
			}
			length := func(d *recorder) (n uint64) {
				for _, o := range owner {
					if o == d {
						n++
					}
				}
				return n
			}
			switch ops[0] % 4 {
			case 0:
				d := &recorder{id: id}
				want := free(base, arg, nil)
				if err := b.Add(base, arg, "d", d); (err == nil) != want {
					t.Fatalf("Add(%d, %d): %v, model %v", base, arg, err, want)
				}
				if want {
					fill(base, arg, d)
					started[base] = d
				}
			case 1:
				d := started[base]
				if err := b.Remove(base); (err == nil) != (d != nil) {
					t.Fatalf("Remove(%d): %v", base, err)
				}
				if d != nil {
					fill(base, length(d), nil)
					delete(started, base)
				}
			case 2:
				d := started[base]
				n := uint64(0)
				if d != nil {
					n = length(d)
				}
				want := d != nil && free(arg, n, d)
				if err := b.Move(base, arg); (err == nil) != want {
					t.Fatalf("Move(%d, %d): %v, model %v", base, arg, err, want)
				}
				if want {
					fill(base, n, nil)
					fill(arg, n, d)
					delete(started, base)
					started[arg] = d
				}
			case 3:
				data := make([]byte, arg%9)
				answered := b.Read(base, data)
				want := false
				for i, v := range data {
					model := byte(0xFF)
					if a := base + uint64(i); a < size && owner[a] != nil {
						model, want = owner[a].id, true
					}
					if v != model {
						t.Fatalf("byte %d of %d at %d is %#x, model %#x", i, len(data), base, v, model)
					}
				}
				if answered != want {
					t.Fatalf("answered %v, model %v", answered, want)
				}
				// A large bus, without the index, finds the same.
				large := newTable(b.table.Load().slots, math.MaxUint64)
				if s := large.find(base); (s == nil) != (base >= size || owner[base] == nil) {
					t.Fatalf("without index: %v at %d", s, base)
				}
			}
		}
	})
}
