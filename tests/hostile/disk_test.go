package hostile

import (
	"bytes"
	"math"

	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// diskViolations are requests that a disk cannot do (section 5.2.6).
func diskViolations() []violation {
	var list []violation
	// answered is a request that has to fail with a status, and to leave the
	// disk as it is.
	answered := func(name string, kind uint32, sector uint64, data []byte, room uint32, want byte) {
		list = append(list, violation{name: "disk: " + name, victim: disk, want: works, attack: func(c *card) {
			c.serve()
			before := c.diskContent(0, diskSize)
			if status, _ := c.diskRequest(kind, sector, data, room); status != want {
				c.Errorf("status %d, want %d", status, want)
			}
			if !bytes.Equal(c.diskContent(0, diskSize), before) {
				c.Error("the disk has changed")
			}
		}})
	}
	sector := bytes.Repeat([]byte{0xAA}, 512)
	answered("read at sector 2^63", diskIn, 1<<63, nil, 512, diskError)
	answered("read at sector 2^55, byte 2^64", diskIn, 1<<55, nil, 512, diskError)
	answered("read at the last sector number", diskIn, math.MaxUint64, nil, 512, diskError)
	answered("read across the end", diskIn, end-1, nil, 1024, diskError)
	answered("read of half a sector", diskIn, 0, nil, 256, diskError)
	answered("read into the request", diskIn, 0, sector, 0, diskError)
	answered("write at sector 2^63", diskOut, 1<<63, sector, 0, diskError)
	answered("write past the end", diskOut, end, sector, 0, diskError)
	answered("write across the end", diskOut, end-1, append(sector, sector...), 0, diskError)
	answered("write of 511 bytes", diskOut, 0, sector[:511], 0, diskError)
	answered("write from the answer", diskOut, 0, nil, 512, diskError)
	answered("unknown request", 0x12345678, 0, nil, 0, diskUnknown)
	answered("unknown request with data both ways", math.MaxUint32, 0, sector, 512, diskUnknown)
	answered("discard of garbage", diskDiscard, 0, bytes.Repeat([]byte{0xFF}, 16), 0, diskUnknown)
	answered("discard past the end", diskDiscard, 0, segment(end, 1, 0), 0, diskError)
	answered("discard at sector 2^63", diskDiscard, 0, segment(1<<63, 1, 0), 0, diskError)
	answered("discard across 2^64", diskDiscard, 0, segment(math.MaxUint64, 2, 0), 0, diskError)
	answered("discard without a segment", diskDiscard, 0, nil, 0, diskError)
	answered("discard of part of a segment", diskDiscard, 0, segment(0, 1, 0)[:9], 0, diskError)
	answered("discard of 1000 segments", diskDiscard, 0, bytes.Repeat(segment(0, 1, 0), 1000), 0, diskError)
	answered("discard of a good and a bad segment", diskDiscard, 0, append(segment(0, 8, 0), segment(end, 8, 0)...), 0, diskError)
	answered("zeroes: 2^32-1 sectors", diskZeroes, 0, segment(0, math.MaxUint32, 0), 0, diskError)
	answered("zeroes: unknown flags", diskZeroes, 0, segment(0, 1, 0xFFFFFFFE), 0, diskUnknown)
	answered("flush with data both ways", diskFlush, math.MaxUint64, sector, 512, diskOK)

	broken := func(name string, bufs ...queuetest.Buffer) {
		list = append(list, violation{name: "disk: " + name, victim: disk, want: breaks, attack: func(c *card) {
			c.must(c.mem.WriteAt(diskHeader(diskIn, 0), scratchBase))
			c.send(0, bufs...)
		}})
	}
	header := queuetest.Buffer{Addr: scratchBase, Len: 16}
	broken("no status byte", header)
	broken("no header", queuetest.Buffer{Addr: scratchBase, Len: 513, Write: true})
	broken("header of 15 bytes", queuetest.Buffer{Addr: scratchBase, Len: 15}, queuetest.Buffer{Addr: scratchBase, Len: 513, Write: true})
	broken("header where the answer belongs", queuetest.Buffer{Addr: scratchBase, Len: 16, Write: true},
		queuetest.Buffer{Addr: scratchBase, Len: 1, Write: true})
	return append(list, largeDiskRequests()...)
}

func segment(sector uint64, count, flags uint32) []byte {
	b := le.AppendUint64(nil, sector)
	b = le.AppendUint32(b, count)
	return le.AppendUint32(b, flags)
}

// largeDiskRequests are many or large ones, which are right or nearly so.
func largeDiskRequests() []violation {
	return []violation{
		{name: "disk: read of 2 GiB", victim: disk, want: works, attack: func(c *card) {
			q := c.queues[0]
			status := q.Writable(1)
			c.do(0, q.Readable(diskHeader(diskIn, 0)), queuetest.Buffer{Addr: givenBase, Len: 2 << 30, Write: true}, status)
			if got := q.Bytes(status)[0]; got != diskError {
				c.Errorf("status %d", got)
			}
		}},
		{name: "disk: a buffer for every byte", victim: disk, want: works, attack: func(c *card) {
			q := c.queues[0]
			bufs := []queuetest.Buffer{q.Readable(diskHeader(diskIn, 0))}
			for i := range uint64(254) {
				bufs = append(bufs, queuetest.Buffer{Addr: scratchBase + i, Len: 1, Write: true})
			}
			bufs = append(bufs, q.Writable(512-254+1))
			q.Alloc(uint32(-q.Alloc(0) & 15)) // for the table
			id := q.AddIndirect(bufs...)
			q.Publish()
			c.notify(0)
			if n := c.await(0, id); n != 513 {
				c.Errorf("%d bytes written", n)
			}
		}},
		{name: "disk: all buffers are the same memory", victim: disk, want: works, attack: func(c *card) {
			same := c.queues[0].Writable(512)
			bufs := []queuetest.Buffer{c.queues[0].Readable(diskHeader(diskIn, 0))}
			for range 64 {
				bufs = append(bufs, same)
			}
			c.do(0, append(bufs, queuetest.Buffer{Addr: same.Addr, Len: 1, Write: true})...)
		}},
		{name: "disk: the answer over the driver's rings", victim: disk, want: survives, attack: func(c *card) {
			c.must(c.mem.WriteAt(bytes.Repeat([]byte{0xFF}, 8192), scratchBase))
			q := c.queues[0]
			c.send(0, q.Readable(append(diskHeader(diskOut, 0), bytes.Repeat([]byte{0xFF}, 8192)...)), q.Writable(1))
			c.send(0, q.Readable(diskHeader(diskIn, 0)), queuetest.Buffer{Addr: q.Config().Desc, Len: 8192, Write: true}, q.Writable(1))
			for range 100 {
				c.notify(0)
			}
		}},
		{name: "disk: the write cache turned on and off under load", victim: disk, want: works, attack: func(c *card) {
			alongside(func() {
				c.store(c.modern()+deviceRegion+32, 1, 1)
				c.store(c.modern()+deviceRegion+32, 1, 0)
			}, func() {
				for range 20 {
					c.serve()
				}
			})
		}},
		{name: "disk: thousands of requests", victim: disk, want: works, attack: func(c *card) {
			request := c.requests()
			for range 5000 {
				request()
			}
		}},
	}
}
