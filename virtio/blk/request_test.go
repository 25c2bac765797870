package blk

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// rings are the forms of virtqueue.
var rings = map[string]queuetest.Options{
	"split":        {},
	"split event":  {EventIndex: true, Indirect: true},
	"packed":       {Packed: true},
	"packed event": {Packed: true, EventIndex: true, Indirect: true},
}

func TestRequests(t *testing.T) {
	for name, ring := range rings {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{ring: ring, Options: Options{Serial: "WD-1234"}})
			was := pattern(diskSize)

			a := r.expect(typeIn, 3, nil, 1024, statusOK, 1025)
			if !bytes.Equal(a.data, was[3*512:5*512]) {
				t.Error("IN reads something else")
			}
			data := bytes.Repeat([]byte("written!"), 128)
			r.expect(typeOut, 7, data, 0, statusOK, 1)
			if !bytes.Equal(r.content(7*512, 1024), data) {
				t.Error("OUT writes something else")
			}
			a = r.expect(typeIn, 6, nil, 2048, statusOK, 2049)
			if !bytes.Equal(a.data, r.content(6*512, 2048)) {
				t.Error("IN reads something else after OUT")
			}
			r.expect(typeFlush, 0, nil, 0, statusOK, 1)
			r.expect(typeFlushOut, 0, nil, 0, statusOK, 1)
			if n := r.faulty.Count(block.Flush); n != 2 {
				t.Errorf("%d flushes, want 2", n)
			}
			r.expect(typeDiscard, 0, segment(20, 2, 0), 0, statusOK, 1)
			segments := append(segment(30, 1, 0), segment(40, 2, segmentUnmap)...)
			r.expect(typeWriteZeroes, 0, segments, 0, statusOK, 1)
			want := pattern(diskSize)
			copy(want[7*512:], data)
			clear(want[20*512 : 22*512])
			clear(want[30*512 : 31*512])
			clear(want[40*512 : 42*512])
			if !bytes.Equal(r.content(0, diskSize), want) {
				t.Error("the disk's content is another one")
			}

			got := r.device.Stats()
			if want := (Stats{
				Read: OpStats{Requests: 2, Bytes: 3072}, Write: OpStats{Requests: 1, Bytes: 1024},
				Flush: OpStats{Requests: 2}, Discard: OpStats{Requests: 1, Bytes: 1024},
				WriteZeroes: OpStats{Requests: 2, Bytes: 1536},
			}); got != want {
				t.Errorf("statistics %+v, want %+v", got, want)
			}
			nothing(t, r.signals.broken, "NeedsReset")
			nothing(t, r.errors, "host error")
		})
	}
}

func TestGetID(t *testing.T) {
	const long = "0123456789abcdefghijKLM"
	for _, c := range []struct {
		serial string
		room   int
		want   string
		used   uint32
	}{
		{"disk-1", 20, "disk-1" + zeroes(14), 21},
		{"", 20, zeroes(20), 21},
		{long, 20, long[:20], 21},
		{"disk-1", 4, "disk", 5},
		{"disk-1", 24, "disk-1" + zeroes(14) + "\xEE\xEE\xEE\xEE", 20},
	} {
		r := newRig(t, setup{Options: Options{Serial: c.serial}})
		a := r.expect(typeGetID, 0, nil, c.room, statusOK, c.used)
		if string(a.data) != c.want {
			t.Errorf("serial %q in %d bytes is %q, want %q", c.serial, c.room, a.data, c.want)
		}
	}
	r := newRig(t, setup{})
	r.expect(typeGetID, 0, nil, 0, statusIOErr, 1)
}

func zeroes(n int) string { return string(make([]byte, n)) }

// divide cuts memory into buffers of the given sizes, the last one repeated.
func divide(base uint64, total int, sizes []int, write bool) (bufs []queuetest.Buffer) {
	for i := 0; total > 0; i++ {
		n := min(sizes[min(i, len(sizes)-1)], total)
		bufs = append(bufs, queuetest.Buffer{Addr: base, Len: uint32(n), Write: write})
		base += uint64(n)
		total -= n
	}
	return bufs
}

// TestFraming sends the same requests in many layouts.
func TestFraming(t *testing.T) {
	layouts := [][]int{
		{16, 1024, 1},     // header, data, status: what legacy drivers use
		{1 << 20},         // one buffer
		{15, 2, 1000, 25}, // across everything
		{1, 15, 512},
		{8, 8, 1, 1023, 1},
		{48}, // many
	}
	for name, ring := range rings {
		for i, layout := range layouts {
			for _, indirect := range []bool{false, ring.Indirect} {
				t.Run(fmt.Sprintf("%s/%d/%v", name, i, indirect), func(t *testing.T) {
					r := newRig(t, setup{ring: ring})
					data := bytes.Repeat([]byte("0123456789abcdef"), 64)
					out := r.Readable(append(header(typeOut, 9), data...))
					in := r.Readable(header(typeIn, 9))
					room := r.Writable(1025)
					status := r.Writable(1)
					r.fill([]queuetest.Buffer{room, status})
					add := r.Add
					if indirect {
						add = r.AddIndirect
					}
					writable := func(n int) []int {
						if len(layout) == 3 {
							return []int{n - 1, 1}
						}
						return layout
					}

					add(append(divide(out.Addr, int(out.Len), layout, false), status)...)
					r.Kick()
					if u := r.Wait(); u.Len != 1 || r.Bytes(status)[0] != statusOK {
						t.Fatalf("OUT: status %d, %d bytes used", r.Bytes(status)[0], u.Len)
					}
					if !bytes.Equal(r.content(9*512, 1024), data) {
						t.Fatal("OUT writes something else")
					}
					add(append(divide(in.Addr, 16, layout, false), divide(room.Addr, 1025, writable(1025), true)...)...)
					r.Kick()
					got := r.Bytes(room)
					if u := r.Wait(); u.Len != 1025 || got[1024] != statusOK {
						t.Fatalf("IN: status %d, %d bytes used", got[1024], u.Len)
					}
					if !bytes.Equal(got[:1024], data) {
						t.Fatal("IN reads something else")
					}
				})
			}
		}
	}
}

// TestBatch sends more requests at once than one batch, in an order that can be
// merged in parts.
func TestBatch(t *testing.T) {
	for name, ring := range rings {
		t.Run(name, func(t *testing.T) {
			ring.Size = 256
			r := newRig(t, setup{ring: ring})
			sectors := make([]uint64, 0, 80)
			for i := range uint64(40) {
				sectors = append(sectors, 100+i) // one after the other
			}
			for i := range uint64(40) {
				sectors = append(sectors, 3*i) // with gaps
			}
			requests := map[uint16]int{}
			var all []sent
			for i, sector := range sectors {
				s := sent{driver: r.Driver, room: []queuetest.Buffer{r.Writable(513)}}
				s.id = r.Add(r.Readable(header(typeIn, sector)), s.room[0])
				requests[s.id] = i
				all = append(all, s)
			}
			r.Kick()
			for range sectors {
				u := r.Wait()
				i := requests[u.ID]
				a := r.answer(all[i], u)
				want := r.content(int64(sectors[i])*512, 512)
				if a.status != statusOK || a.used != 513 || !bytes.Equal(a.data, want) {
					t.Fatalf("sector %d: status %d, %d bytes used, data right: %v", sectors[i], a.status, a.used, bytes.Equal(a.data, want))
				}
			}
			if s := r.device.Stats(); s.Read.Requests != 80 || s.Merged == 0 || int(s.Merged) != 80-r.faulty.Count(block.Read) {
				t.Errorf("%d requests to the disk, %+v", r.faulty.Count(block.Read), s)
			}
		})
	}
}

// TestFlushIsPassedOn checks that a flush is asked of the host after the writes
// that were completed before it, and that none is lost among others.
func TestFlushIsPassedOn(t *testing.T) {
	r := newRig(t, setup{})
	data := make([]byte, 512)
	for i := range 5 {
		r.expect(typeOut, uint64(i), data, 0, statusOK, 1)
		if writes := r.faulty.Count(block.Write); writes != i+1 {
			t.Fatalf("%d writes at the disk before the flush, want %d", writes, i+1)
		}
		r.expect(typeFlush, 0, nil, 0, statusOK, 1)
		if flushes := r.faulty.Count(block.Flush); flushes != i+1 {
			t.Fatalf("%d flushes at the disk, want %d", flushes, i+1)
		}
	}
	// A write that is held does not keep a flush: it is not complete.
	let := make(chan struct{})
	r.faulty.Add(blocktestHold(block.Write, let))
	w := r.send(typeOut, 0, data, 0)
	r.faulty.WaitHeld(1)
	r.expect(typeFlush, 0, nil, 0, statusOK, 1)
	close(let)
	if a := r.wait(w); a.status != statusOK {
		t.Errorf("status %d", a.status)
	}
}
