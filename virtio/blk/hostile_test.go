package blk

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func blocktestHold(op block.Op, until <-chan struct{}) blocktest.Rule {
	return blocktest.Rule{Op: op, Hold: until, Times: 1}
}

// TestRefused are requests that are wrong but can be answered.
func TestRefused(t *testing.T) {
	const sectors = diskSize / 512
	sector := make([]byte, 512)
	many := bytes.Repeat(segment(0, 1, 0), maxSegments+1)
	for name, c := range map[string]struct {
		kind     uint32
		sector   uint64
		data     []byte
		room     int
		status   byte
		used     uint32
		readOnly bool
		without  virtio.Features
	}{
		"unknown type":                  {kind: 99, status: statusUnsupp, used: 1},
		"unknown type with data":        {kind: 99, data: sector, room: 8, status: statusUnsupp},
		"SCSI command":                  {kind: 2, status: statusUnsupp, used: 1},
		"write with barrier":            {kind: 1<<31 | typeOut, data: sector, status: statusUnsupp, used: 1},
		"secure erase":                  {kind: 14, data: segment(0, 1, 0), status: statusUnsupp, used: 1},
		"read past the end":             {kind: typeIn, sector: sectors, room: 512, status: statusIOErr},
		"read across the end":           {kind: typeIn, sector: sectors - 1, room: 1024, status: statusIOErr},
		"read at 2^63":                  {kind: typeIn, sector: 1 << 63, room: 512, status: statusIOErr},
		"read at 2^55 (byte 2^64)":      {kind: typeIn, sector: 1 << 55, room: 512, status: statusIOErr},
		"read at the last number":       {kind: typeIn, sector: math.MaxUint64, room: 512, status: statusIOErr},
		"read more than there is":       {kind: typeIn, room: diskSize + 512, status: statusIOErr},
		"read half a sector":            {kind: typeIn, room: 256, status: statusIOErr},
		"read a sector and a byte":      {kind: typeIn, room: 513, status: statusIOErr},
		"read into the readable part":   {kind: typeIn, data: sector, status: statusIOErr, used: 1},
		"write past the end":            {kind: typeOut, sector: sectors, data: sector, status: statusIOErr, used: 1},
		"write at 2^63":                 {kind: typeOut, sector: 1 << 63, data: sector, status: statusIOErr, used: 1},
		"write half a sector":           {kind: typeOut, data: sector[:100], status: statusIOErr, used: 1},
		"write from the writable part":  {kind: typeOut, room: 512, status: statusIOErr},
		"write to a read-only disk":     {kind: typeOut, data: sector, status: statusIOErr, used: 1, readOnly: true},
		"discard on a read-only disk":   {kind: typeDiscard, data: segment(0, 1, 0), status: statusUnsupp, used: 1, readOnly: true},
		"discard not negotiated":        {kind: typeDiscard, data: segment(0, 1, 0), status: statusUnsupp, used: 1, without: FeatureDiscard},
		"write zeroes not negotiated":   {kind: typeWriteZeroes, data: segment(0, 1, 0), status: statusUnsupp, used: 1, without: FeatureWriteZeroes},
		"discard without segment":       {kind: typeDiscard, status: statusIOErr, used: 1},
		"discard of part of a segment":  {kind: typeDiscard, data: segment(0, 1, 0)[:15], status: statusIOErr, used: 1},
		"discard of a segment and more": {kind: typeDiscard, data: append(segment(0, 1, 0), 0), status: statusIOErr, used: 1},
		"discard of too many segments":  {kind: typeDiscard, data: many, status: statusIOErr, used: 1},
		"discard with unmap":            {kind: typeDiscard, data: segment(0, 1, 1), status: statusUnsupp, used: 1},
		"discard with unknown flag":     {kind: typeDiscard, data: segment(0, 1, 1<<31), status: statusUnsupp, used: 1},
		"discard past the end":          {kind: typeDiscard, data: segment(sectors, 1, 0), status: statusIOErr, used: 1},
		"discard at 2^63":               {kind: typeDiscard, data: segment(1<<63, 1, 0), status: statusIOErr, used: 1},
		"discard of too much":           {kind: typeDiscard, data: segment(0, math.MaxUint32, 0), status: statusIOErr, used: 1},
		"discard, second segment bad":   {kind: typeDiscard, data: append(segment(0, 8, 0), segment(sectors, 1, 0)...), status: statusIOErr, used: 1},
		"range and flag bad":            {kind: typeWriteZeroes, data: append(segment(sectors, 8, 0), segment(0, 1, 2)...), status: statusUnsupp, used: 1},
		"zeroes of too much":            {kind: typeWriteZeroes, data: segment(0, maxWriteZeroesSectors+1, 0), status: statusIOErr, used: 1},
		"zeroes with unknown flag":      {kind: typeWriteZeroes, data: segment(0, 1, 3), status: statusUnsupp, used: 1},
		"zeroes, last segment bad":      {kind: typeWriteZeroes, data: append(segment(0, 8, 1), segment(0, sectors+1, 0)...), status: statusIOErr, used: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{readOnly: c.readOnly, without: c.without})
			r.expect(c.kind, c.sector, c.data, c.room, c.status, c.used)
			if !bytes.Equal(r.content(0, diskSize), pattern(diskSize)) {
				t.Error("the disk has changed")
			}
			if n := r.device.Stats().Refused; n != 1 {
				t.Errorf("%d requests refused", n)
			}
			nothing(t, r.errors, "host error")
			// The next one is served.
			r.expect(typeIn, 0, nil, 512, statusOK, 513)
			nothing(t, r.signals.broken, "NeedsReset")
		})
	}
}

// TestNothingToDo are requests without an effect that are right.
func TestNothingToDo(t *testing.T) {
	r := newRig(t, setup{})
	const sectors = diskSize / 512
	r.expect(typeIn, 0, nil, 0, statusOK, 1)
	r.expect(typeIn, sectors, nil, 0, statusOK, 1)
	r.expect(typeOut, sectors, nil, 0, statusOK, 1)
	r.expect(typeIn, sectors+1, nil, 0, statusIOErr, 1)
	r.expect(typeDiscard, 0, segment(sectors, 0, 0), 0, statusOK, 1)
	r.expect(typeWriteZeroes, 0, segment(0, 0, 0), 0, statusOK, 1)
	r.expect(typeDiscard, 0, bytes.Repeat(segment(5, 1, 0), maxSegments), 0, statusOK, 1)
}

// TestBroken are requests that cannot be answered.
func TestBroken(t *testing.T) {
	for name, c := range map[string]struct {
		bufs func(r *rig) []queuetest.Buffer
		want error
	}{
		"header of 15 bytes": {func(r *rig) []queuetest.Buffer {
			return []queuetest.Buffer{r.Readable(make([]byte, 15)), r.Writable(513)}
		}, errNoHeader},
		"no header": {func(r *rig) []queuetest.Buffer {
			return []queuetest.Buffer{r.Writable(513)}
		}, errNoHeader},
		"header writable": {func(r *rig) []queuetest.Buffer {
			return []queuetest.Buffer{r.Writable(16), r.Writable(512), r.Writable(1)}
		}, errNoHeader},
		"no status": {func(r *rig) []queuetest.Buffer {
			return []queuetest.Buffer{r.Readable(header(typeFlush, 0))}
		}, errNoStatus},
		"status not writable": {func(r *rig) []queuetest.Buffer {
			return []queuetest.Buffer{r.Readable(header(typeOut, 0)), r.Readable(make([]byte, 512)), r.Readable([]byte{0xFF})}
		}, errNoStatus},
		"empty buffer": {func(r *rig) []queuetest.Buffer {
			return []queuetest.Buffer{r.Readable(header(typeIn, 0)), {Addr: 4096, Write: true}, r.Writable(1)}
		}, queue.ZeroLength},
		"buffer beyond RAM": {func(r *rig) []queuetest.Buffer {
			return []queuetest.Buffer{r.Readable(header(typeIn, 0)), {Addr: 1 << 40, Len: 512, Write: true}, r.Writable(1)}
		}, queue.BufferOutside},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, setup{})
			// One that is good comes back in any case.
			good := r.send(typeIn, 1, nil, 512)
			r.wait(good)
			r.Add(c.bufs(r)...)
			r.Kick()
			if err := await(t, r.signals.broken, "NeedsReset"); !errors.Is(err, c.want) {
				t.Errorf("NeedsReset: %v; want %v", err, c.want)
			}
			if !bytes.Equal(r.content(0, diskSize), pattern(diskSize)) {
				t.Error("the disk has changed")
			}
			// Pausing and going on does not bring it back to life.
			r.device.Pause()
			r.device.Resume()
			nothing(t, r.signals.broken, "NeedsReset")
			// A reset does.
			r.device.Reset()
			r.Driver = queuetest.New(t, r.mem, queuetest.Options{Size: 64})
			r.drivers[0] = r.Driver
			r.activate(r.device.Features())
			r.expect(typeIn, 0, nil, 512, statusOK, 513)
		})
	}
}

// TestLongestChain reads byte by byte, into as many buffers as a chain can have.
func TestLongestChain(t *testing.T) {
	const size = 1024
	r := newRig(t, setup{ring: queuetest.Options{Size: size, Indirect: true, Room: 16 << 20}})
	head := r.Readable(header(typeIn, 0))
	room := r.Writable(1040)
	sizes := slices.Repeat([]int{1}, size-2)
	sizes = append(sizes, int(room.Len)) // the rest
	r.AddIndirect(append([]queuetest.Buffer{head}, divide(room.Addr, 1025, sizes, true)...)...)
	r.Kick()
	if u := r.Wait(); u.Len != 1025 || r.Bytes(room)[1024] != statusOK {
		t.Fatalf("%d bytes used, status %d", u.Len, r.Bytes(room)[1024])
	}
	if !bytes.Equal(r.Bytes(room)[:1024], r.content(0, 1024)) {
		t.Error("reads something else")
	}
}

// TestThousandsOfBuffers has an indirect table that is longer than the queue.
func TestThousandsOfBuffers(t *testing.T) {
	const n = 4096
	r := newRig(t, setup{ring: queuetest.Options{Size: 64, Indirect: true}})
	table := (r.Alloc(16*(n+1)) + 15) &^ 15
	one := queuetest.Buffer{Addr: table, Len: 1}
	for i := range uint16(n) {
		b := queuetest.Buffer{Addr: table, Len: 16, Write: i > 0}
		r.Descriptor(table+16*uint64(i), b, 1, i+1)
	}
	id := r.Add(one)
	r.Descriptor(r.Config().Desc+16*uint64(id), queuetest.Buffer{Addr: table, Len: 16 * n}, 4, 0)
	r.Kick()
	if err := await(t, r.signals.broken, "NeedsReset"); !errors.Is(err, queue.ChainTooLong) {
		t.Errorf("NeedsReset: %v", err)
	}
}
