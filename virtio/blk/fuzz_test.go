package blk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// model is what a request does to a disk, written as plainly as can be. It
// returns the status, or broken when the request cannot be answered.
func model(disk, readable []byte, writable int) (status byte, data []byte, broken bool) {
	if writable < 1 || len(readable) < 16 {
		return 0, nil, true
	}
	le := binary.LittleEndian
	kind, sector, sent, room := le.Uint32(readable), le.Uint64(readable[8:]), readable[16:], writable-1
	sectors := uint64(len(disk) / 512)
	bad := func(first, count uint64) bool { return first > sectors || count > sectors-first }
	switch kind {
	case 0:
		if room%512 != 0 || bad(sector, uint64(room/512)) || room == 0 && len(sent) > 0 {
			return 1, nil, false
		}
		return 0, disk[sector*512:][:room], false
	case 1:
		if len(sent)%512 != 0 || bad(sector, uint64(len(sent)/512)) || len(sent) == 0 && room > 0 {
			return 1, nil, false
		}
		copy(disk[sector*512:], sent)
	case 4, 5:
	case 8:
		if room == 0 {
			return 1, nil, false
		}
		id := append([]byte("fuzzed"), make([]byte, 14)...)
		return 0, id[:min(room, 20)], false
	case 11, 13:
		n := len(sent) / 16
		if n == 0 || n > 16 || len(sent)%16 != 0 {
			return 1, nil, false
		}
		limit, flags := uint32(4<<20), uint32(0)
		if kind == 13 {
			limit, flags = 128<<10, 1
		}
		for s := sent; len(s) > 0; s = s[16:] {
			switch first, count, f := le.Uint64(s), le.Uint32(s[8:]), le.Uint32(s[12:]); {
			case f&^flags != 0:
				status = 2
			case count > limit || bad(first, uint64(count)):
				status = max(status, 1)
			}
		}
		if status == 0 {
			for s := sent; len(s) > 0; s = s[16:] {
				clear(disk[le.Uint64(s)*512:][:le.Uint32(s[8:])*512])
			}
		}
	default:
		status = 2
	}
	return status, nil, false
}

// FuzzRequest sends a request of any content in any layout, and compares what
// comes of it with the model.
func FuzzRequest(f *testing.F) {
	sector := make([]byte, 512)
	f.Add(header(typeIn, 3), uint16(1025), uint8(16), uint8(0))
	f.Add(append(header(typeOut, 3), sector...), uint16(1), uint8(7), uint8(1))
	f.Add(header(typeFlush, 0), uint16(1), uint8(16), uint8(2))
	f.Add(header(typeGetID, 0), uint16(21), uint8(3), uint8(3))
	f.Add(append(header(typeDiscard, 0), segment(1, 2, 0)...), uint16(1), uint8(200), uint8(0))
	f.Add(append(header(typeWriteZeroes, 0), segment(1<<55, 2, 1)...), uint16(1), uint8(100), uint8(0))
	f.Add(header(typeIn, 1<<63), uint16(513), uint8(16), uint8(0))
	f.Add([]byte{1}, uint16(0), uint8(16), uint8(0))
	f.Fuzz(func(t *testing.T, readable []byte, writable uint16, cut, form uint8) {
		if len(readable) > 4096 {
			readable = readable[:4096]
		}
		size := max(int(cut), int(max(uint16(len(readable)), writable))/30+1)
		ring := queuetest.Options{Size: 64, Indirect: true, Packed: form&1 != 0, EventIndex: form&2 != 0}
		r := newRig(t, setup{Options: Options{Serial: "fuzzed"}, ring: ring})
		in := r.Readable(readable)
		r.Alloc(16)
		room := r.Writable(uint32(writable))
		guard := r.Writable(16)
		r.fill([]queuetest.Buffer{room, guard})
		r.Alloc(uint32(-r.Alloc(0) & 15))
		bufs := append(divide(in.Addr, len(readable), []int{size}, false), divide(room.Addr, int(writable), []int{size}, true)...)
		if len(bufs) == 0 {
			return // not a request at all
		}
		want := pattern(diskSize)
		status, data, broken := model(want, readable, int(writable))
		if form&4 != 0 {
			r.AddIndirect(bufs...)
		} else {
			r.Add(bufs...)
		}
		r.Kick()
		if broken {
			if err := await(t, r.signals.broken, "NeedsReset"); !errors.Is(err, errNoHeader) && !errors.Is(err, errNoStatus) {
				t.Fatalf("NeedsReset: %v", err)
			}
		} else {
			r.Wait()
			got := r.Bytes(room)
			if got[len(got)-1] != status {
				t.Fatalf("status %d, want %d", got[len(got)-1], status)
			}
			if status == 0 && !bytes.Equal(got[:len(data)], data) {
				t.Fatalf("data %x, want %x", got[:len(data)], data)
			}
		}
		if !bytes.Equal(r.content(0, diskSize), want) {
			t.Fatal("the disk's content is another one")
		}
		if !bytes.Equal(r.Bytes(in), readable) || bytes.Count(r.Bytes(guard), []byte{unwritten}) != 16 {
			t.Fatal("memory beside the request is written")
		}
		nothing(t, r.errors, "host error")
	})
}
