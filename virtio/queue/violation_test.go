package queue_test

import (
	"errors"
	"math"
	"testing"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestStartRefuses breaks each rule for setting up a queue.
func TestStartRefuses(t *testing.T) {
	const ramEnd = 16 << 20
	for _, test := range []struct {
		name   string
		rule   queue.Rule
		change func(*queue.Config)
	}{
		{"not enabled", queue.NotReady, func(c *queue.Config) { c.Ready = false }},
		{"legacy page frame 0", queue.NotReady, func(c *queue.Config) { c.SetPFN(0) }},
		{"size 0", queue.SizeZero, func(c *queue.Config) { c.Size = 0 }},
		{"packed size 0", queue.SizeZero, func(c *queue.Config) { c.Packed = true; c.Size = 0 }},
		{"size over the device's", queue.SizeTooLarge, func(c *queue.Config) { c.Size = 32 }},
		{"size over the specification's", queue.SizeTooLarge,
			func(c *queue.Config) { c.Packed = true; c.Size, c.MaxSize = 40000, 65535 }},
		{"size 12", queue.SizeNotPowerOfTwo, func(c *queue.Config) { c.Size = 12 }},
		{"descriptor area at 8", queue.DescriptorAreaMisaligned, func(c *queue.Config) { c.Desc += 8 }},
		{"descriptor area wraps", queue.DescriptorAreaWraps, func(c *queue.Config) { c.Desc = math.MaxUint64 - 15 }},
		{"descriptor area beyond RAM", queue.DescriptorAreaOutside, func(c *queue.Config) { c.Desc = ramEnd }},
		{"descriptor area over the end", queue.DescriptorAreaOutside, func(c *queue.Config) { c.Desc = ramEnd - 16 }},
		{"driver area at 1", queue.DriverAreaMisaligned, func(c *queue.Config) { c.Driver++ }},
		{"driver area wraps", queue.DriverAreaWraps, func(c *queue.Config) { c.Driver = math.MaxUint64 - 1 }},
		{"driver area over the end", queue.DriverAreaOutside, func(c *queue.Config) { c.Driver = ramEnd - 2 }},
		{"driver area without room for used_event", queue.DriverAreaOutside,
			func(c *queue.Config) { c.Driver = ramEnd - 4 - 2*16; c.EventIndex = true }},
		{"device area at 2", queue.DeviceAreaMisaligned, func(c *queue.Config) { c.Device += 2 }},
		{"device area wraps", queue.DeviceAreaWraps, func(c *queue.Config) { c.Device = math.MaxUint64 - 3 }},
		{"device area over the end", queue.DeviceAreaOutside, func(c *queue.Config) { c.Device = ramEnd - 4 }},
		{"device area without room for avail_event", queue.DeviceAreaOutside,
			func(c *queue.Config) { c.Device = ramEnd - 4 - 8*16; c.EventIndex = true }},
		{"packed driver area at 2", queue.DriverAreaMisaligned, func(c *queue.Config) { c.Packed = true; c.Driver += 2 }},
		{"packed device area beyond RAM", queue.DeviceAreaOutside, func(c *queue.Config) { c.Packed = true; c.Device = ramEnd }},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := newMemory(t)
			bell, err := queue.NewDoorbell()
			if err != nil {
				t.Fatal(err)
			}
			defer bell.Close()
			c := queue.Config{
				Index: 3, MaxSize: 16, Size: 16, Ready: true,
				Desc: 0x10000, Driver: 0x20000, Device: 0x30000,
			}
			if _, err := c.Start(mem, bell, queuetest.NewLine()); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			test.change(&c)
			_, err = c.Start(mem, bell, queuetest.NewLine())
			checkViolation(t, err, test.rule, 0)
		})
	}
}

func checkViolation(t *testing.T, err error, rule queue.Rule, index uint16) {
	t.Helper()
	var v *queue.Violation
	if !errors.As(err, &v) {
		t.Fatalf("error %v, want a violation of %q", err, rule)
	}
	if *v != (queue.Violation{Queue: 3, Index: index, Rule: rule}) {
		t.Errorf("violation of %q, queue %d, index %d; want %q, queue 3, index %d", v.Rule, v.Queue, v.Index, rule, index)
	}
	if !errors.Is(err, rule) {
		t.Errorf("errors.Is(%v, rule): false", err)
	}
}

// hostile is a driver's ring to break rules with.
type hostile struct {
	*queuetest.Driver
	good queuetest.Buffer // readable
	room queuetest.Buffer // writable
}

const (
	next     = 1 << 0
	write    = 1 << 1
	indirect = 1 << 2
	avail    = 1 << 7
)

// desc writes descriptor i of the table or ring.
func (h hostile) desc(i int, b queuetest.Buffer, flags, tag uint16) {
	if h.Config().Packed {
		flags |= avail
	}
	h.Descriptor(h.Config().Desc+16*uint64(i), b, flags, tag)
}

// head makes descriptor i available as the n-th.
func (h hostile) head(n, i uint16) {
	h.set(h.Config().Driver+4+2*uint64(n), i)
	h.index(n + 1)
}

func (h hostile) index(v uint16)           { h.set(h.Config().Driver+2, v) }
func (h hostile) set(gpa uint64, v uint16) { h.put(gpa, []byte{byte(v), byte(v >> 8)}) }
func (h hostile) put(gpa uint64, p []byte) {
	copy(h.Bytes(queuetest.Buffer{Addr: gpa, Len: uint32(len(p))}), p)
}

// table writes an indirect table and returns the buffer that refers to it.
func (h hostile) table(descs ...[3]any) queuetest.Buffer {
	at := h.Alloc(uint32(16 * len(descs)))
	for i, d := range descs {
		h.Driver.Descriptor(at+16*uint64(i), d[0].(queuetest.Buffer), uint16(d[1].(int)), uint16(d[2].(int)))
	}
	return queuetest.Buffer{Addr: at, Len: uint32(16 * len(descs))}
}

func buffer(addr uint64, n uint32) queuetest.Buffer { return queuetest.Buffer{Addr: addr, Len: n} }

// TestPopRefuses breaks each rule for rings and chains. The queue has 8
// entries and the device takes chains of 8.
func TestPopRefuses(t *testing.T) {
	const (
		ramEnd = 16 << 20
		top    = math.MaxUint64
	)
	type options = queuetest.Options
	split, packed := options{Indirect: true}, options{Packed: true, Indirect: true}
	for _, test := range []struct {
		name  string
		o     options
		rule  queue.Rule
		index uint16
		do    func(h hostile)
	}{
		{"index ahead by 9", split, queue.AvailIndexJump, 9, func(h hostile) { h.index(9) }},
		{"index behind", split, queue.AvailIndexJump, 65535, func(h hostile) { h.index(65535) }},
		{"head 8", split, queue.HeadOutOfRange, 8, func(h hostile) { h.head(0, 8) }},
		{"head 65535", split, queue.HeadOutOfRange, 65535, func(h hostile) { h.head(0, 65535) }},
		{"head twice", split, queue.HeadInUse, 5, func(h hostile) {
			h.desc(5, h.good, 0, 0)
			h.head(0, 5)
			h.head(1, 5)
		}},
		{"next 8", split, queue.NextOutOfRange, 2, func(h hostile) {
			h.desc(2, h.good, next, 8)
			h.head(0, 2)
		}},
		{"next 65535", split, queue.NextOutOfRange, 3, func(h hostile) {
			h.desc(2, h.good, next, 3)
			h.desc(3, h.good, next, 65535)
			h.head(0, 2)
		}},
		{"next is itself", split, queue.DescriptorLoop, 4, func(h hostile) {
			h.desc(4, h.good, next, 4)
			h.head(0, 4)
		}},
		{"loop of two", split, queue.DescriptorLoop, 0, func(h hostile) {
			h.desc(0, h.good, next, 1)
			h.desc(1, h.good, next, 0)
			h.head(0, 0)
		}},
		{"packed list all around", packed, queue.DescriptorLoop, 7, func(h hostile) {
			for i := 7; i >= 0; i-- {
				h.desc(i, h.good, next, 0)
			}
		}},
		{"packed list over one in flight", packed, queue.RingOverrun, 1, func(h hostile) {
			// The second list goes on into the ring's first entry.
			for i := 7; i >= 1; i-- {
				h.desc(i, h.good, next, 0)
			}
			h.desc(0, h.good, 0, 0)
		}},
		{"no length", split, queue.ZeroLength, 1, func(h hostile) {
			h.desc(0, h.good, next, 1)
			h.desc(1, buffer(h.good.Addr, 0), 0, 0)
			h.head(0, 0)
		}},
		{"packed, no length", packed, queue.ZeroLength, 0, func(h hostile) { h.desc(0, buffer(h.good.Addr, 0), 0, 0) }},
		{"no length in table", split, queue.ZeroLength, 0, func(h hostile) {
			h.desc(6, h.table([3]any{buffer(0, 0), 0, 0}), indirect, 0)
			h.head(0, 6)
		}},
		{"buffer wraps", split, queue.BufferWraps, 0, func(h hostile) {
			h.desc(0, buffer(top, 2), 0, 0)
			h.head(0, 0)
		}},
		{"packed, buffer wraps", packed, queue.BufferWraps, 0, func(h hostile) { h.desc(0, buffer(top-0xffff, 0x20000), 0, 0) }},
		{"buffer beyond RAM", split, queue.BufferOutside, 0, func(h hostile) {
			h.desc(0, buffer(ramEnd, 1), 0, 0)
			h.head(0, 0)
		}},
		{"buffer over the end of RAM", split, queue.BufferOutside, 0, func(h hostile) {
			h.desc(0, buffer(ramEnd-1, 2), write, 0)
			h.head(0, 0)
		}},
		{"buffer to the end of addresses", split, queue.BufferOutside, 0, func(h hostile) {
			h.desc(0, buffer(top-0xfff, 0xfff), 0, 0)
			h.head(0, 0)
		}},
		{"packed, buffer in the hole", packed, queue.BufferOutside, 0, func(h hostile) { h.desc(0, buffer(0xfec00000, 4), write, 0) }},
		{"buffer in a device's memory", split, queue.BufferOutside, 0, func(h hostile) {
			h.desc(0, buffer(0xe0000000, 4), 0, 0)
			h.head(0, 0)
		}},
		{"readable after writable", split, queue.ReadableAfterWritable, 1, func(h hostile) {
			h.desc(0, h.room, next, 1)
			h.desc(1, h.good, 0, 0)
			h.head(0, 0)
		}},
		{"packed, readable after writable", packed, queue.ReadableAfterWritable, 1, func(h hostile) {
			h.desc(1, h.good, 0, 0)
			h.desc(0, h.room, next, 0)
		}},
		{"table, readable after writable", packed, queue.ReadableAfterWritable, 1, func(h hostile) {
			h.desc(0, h.table([3]any{h.room, 0, 0}, [3]any{h.good, 0, 0}), indirect, 0)
		}},
		{"more than 4 GiB", split, queue.ChainTooLarge, 1, func(h hostile) {
			// The total is looked at first: RAM is smaller than one of them.
			h.desc(0, h.good, next, 1)
			h.desc(1, buffer(0, math.MaxUint32), 0, 0)
			h.head(0, 0)
		}},
		{"table longer than the device allows", split, queue.ChainTooLong, 8, func(h hostile) {
			var list [][3]any
			for i := range 9 {
				list = append(list, [3]any{h.good, next, i + 1})
			}
			h.desc(0, h.table(list...), indirect, 0)
			h.head(0, 0)
		}},
		{"packed table longer than the device allows", packed, queue.ChainTooLong, 8, func(h hostile) {
			var list [][3]any
			for range 9 {
				list = append(list, [3]any{h.good, 0, 0})
			}
			h.desc(0, h.table(list...), indirect, 0)
		}},
		{"direct and table longer than the device allows", split, queue.ChainTooLong, 7, func(h hostile) {
			var list [][3]any
			for i := range 8 {
				list = append(list, [3]any{h.good, next, i + 1})
			}
			h.desc(1, h.table(list...), indirect, 0)
			h.desc(0, h.good, next, 1)
			h.head(0, 0)
		}},
		{"indirect without the feature", options{}, queue.IndirectNotNegotiated, 0, func(h hostile) {
			h.desc(0, h.table([3]any{h.good, 0, 0}), indirect, 0)
			h.head(0, 0)
		}},
		{"packed, indirect without the feature", options{Packed: true}, queue.IndirectNotNegotiated, 0, func(h hostile) {
			h.desc(0, h.table([3]any{h.good, 0, 0}), indirect, 0)
		}},
		{"indirect with next", split, queue.IndirectWithNext, 0, func(h hostile) {
			h.desc(0, h.table([3]any{h.good, 0, 0}), indirect|next, 1)
			h.desc(1, h.good, 0, 0)
			h.head(0, 0)
		}},
		{"packed, indirect with next", packed, queue.IndirectWithNext, 0, func(h hostile) {
			h.desc(0, h.table([3]any{h.good, 0, 0}), indirect|next, 0)
		}},
		{"packed, indirect at the end of a list", packed, queue.IndirectInList, 1, func(h hostile) {
			h.desc(1, h.table([3]any{h.good, 0, 0}), indirect, 0)
			h.desc(0, h.good, next, 0)
		}},
		{"table in table", split, queue.IndirectNested, 1, func(h hostile) {
			h.desc(0, h.table([3]any{h.good, next, 1}, [3]any{h.good, indirect, 0}), indirect, 0)
			h.head(0, 0)
		}},
		{"empty table", split, queue.IndirectEmpty, 0, func(h hostile) {
			h.desc(0, buffer(h.good.Addr, 0), indirect, 0)
			h.head(0, 0)
		}},
		{"table of 17 bytes", split, queue.IndirectPartial, 0, func(h hostile) {
			h.desc(0, buffer(h.good.Addr, 17), indirect, 0)
			h.head(0, 0)
		}},
		{"packed, table of 8 bytes", packed, queue.IndirectPartial, 0, func(h hostile) { h.desc(0, buffer(h.good.Addr, 8), indirect, 0) }},
		{"table wraps", split, queue.IndirectWraps, 0, func(h hostile) {
			h.desc(0, buffer(top-15, 32), indirect, 0)
			h.head(0, 0)
		}},
		{"table over the end of RAM", split, queue.IndirectOutside, 0, func(h hostile) {
			h.desc(0, buffer(ramEnd-16, 32), indirect, 0)
			h.head(0, 0)
		}},
		{"packed, table of 4 GiB", packed, queue.IndirectOutside, 0, func(h hostile) { h.desc(0, buffer(0, math.MaxUint32-15), indirect, 0) }},
		{"next beyond the table", split, queue.IndirectNextOutOfRange, 0, func(h hostile) {
			h.desc(0, h.table([3]any{h.good, next, 2}, [3]any{h.good, 0, 0}), indirect, 0)
			h.head(0, 0)
		}},
		{"loop in the table", split, queue.IndirectLoop, 0, func(h hostile) {
			h.desc(0, h.table([3]any{h.good, next, 1}, [3]any{h.good, next, 0}), indirect, 0)
			h.head(0, 0)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := test.o
			o.Index, o.Size, o.Base = 3, 8, 0x10000
			mem := newMemory(t)
			if _, err := mem.Add("video memory", memory.RAM, 0xe0000000, 4096); err != nil {
				t.Fatal(err)
			}
			d := queuetest.New(t, mem, o)
			q := d.Start()
			h := hostile{Driver: d, good: d.Readable([]byte("data")), room: d.Writable(4)}
			test.do(h)
			_, err := q.Pop()
			if err == nil { // what comes before the wrong one
				_, err = q.Pop()
			}
			checkViolation(t, err, test.rule, test.index)

			// The queue is dead.
			if _, again := q.Pop(); again != err {
				t.Errorf("Pop of the dead queue: %v", again)
			}
			if q.Wait() {
				t.Error("Wait on the dead queue: true")
			}
			if q.EnableNotify() {
				t.Error("EnableNotify on the dead queue: true")
			}
		})
	}
}

// TestRuleTexts: each rule has a text of its own.
func TestRuleTexts(t *testing.T) {
	seen := map[string]queue.Rule{}
	for r := queue.Rule(1); r <= queue.IndirectLoop; r++ {
		s := r.Error()
		if other, ok := seen[s]; ok {
			t.Errorf("rules %d and %d: %q", other, r, s)
		}
		seen[s] = r
	}
	v := &queue.Violation{Queue: 2, Index: 7, Rule: queue.ZeroLength}
	if got, want := v.Error(), "virtqueue 2, index 7: the buffer is empty"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	v = &queue.Violation{Queue: 2, Rule: queue.SizeZero}
	if got, want := v.Error(), "virtqueue 2: the queue size is 0"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
