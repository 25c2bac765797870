package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio/console"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

var le = binary.LittleEndian

// serve has the device do what it is for, and checks the result.
func (c *card) serve() {
	c.Helper()
	c.marker++
	mark := fmt.Appendf(nil, "<request %d>", c.marker)
	switch c.kind {
	case disk:
		c.serveDisk(mark)
	case nic:
		c.serveNIC(mark)
	case serial:
		c.serveConsole(mark)
	case balloonDevice:
		c.serveBalloon()
	case entropy:
		c.serveEntropy()
	}
}

// send makes a request available, when there is room in the ring.
func (c *card) send(index int, bufs ...queuetest.Buffer) (id uint16) {
	c.Helper()
	q := c.queues[index]
	c.eventually("room in the ring", func() (ok bool) {
		if id, ok = q.TryAdd(false, bufs...); !ok {
			q.Used() // and forgotten
		}
		return ok
	})
	if q.Publish() {
		c.notify(index)
	}
	return id
}

// await waits until a request is used, by interrupt if the driver does not
// poll, and returns how many bytes were written. Other requests that are used
// before it are forgotten.
func (c *card) await(index int, id uint16) uint32 {
	c.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	var tick <-chan time.Time
	if c.polls {
		ticker := time.NewTicker(200 * time.Microsecond)
		defer ticker.Stop()
		tick = ticker.C
	}
	q := c.queues[index]
	for {
		q.EnableInterrupts()
		for u, ok := q.Used(); ok; u, ok = q.Used() {
			if u.ID == id {
				return u.Len
			}
		}
		select {
		case <-q.Line():
		case <-tick:
		case <-deadline.C:
			c.Fatalf("%s: %v: queue %d does not answer; status %#x", c.step, c.kind, index, c.status())
		}
	}
}

// do sends a request and waits for the answer.
func (c *card) do(index int, bufs ...queuetest.Buffer) uint32 {
	c.Helper()
	return c.await(index, c.send(index, bufs...))
}

// diskRequest sends a request to the disk and returns its status byte.
func (c *card) diskRequest(kind uint32, sector uint64, data []byte, room uint32) (status byte, answer []byte) {
	c.Helper()
	q := c.queues[0]
	bufs := []queuetest.Buffer{q.Readable(append(diskHeader(kind, sector), data...))}
	end := q.Writable(room + 1)
	q.Bytes(end)[room] = 0xEE
	c.do(0, append(bufs, end)...)
	return q.Bytes(end)[room], q.Bytes(end)[:room]
}

func diskHeader(kind uint32, sector uint64) []byte {
	b := le.AppendUint32(nil, kind)
	b = le.AppendUint32(b, 0)
	return le.AppendUint64(b, sector)
}

// Types of disk requests, and their answers (section 5.2.6).
const (
	diskIn, diskOut, diskFlush        = 0, 1, 4
	diskDiscard, diskZeroes           = 11, 13
	diskOK, diskError, diskUnknown    = 0, 1, 2
	markedSector, scribbleSector, end = 8, 16, diskSize / 512
)

func (c *card) serveDisk(mark []byte) {
	c.Helper()
	sector := append(mark, make([]byte, 512-len(mark))...)
	if status, _ := c.diskRequest(diskOut, markedSector, sector, 0); status != diskOK {
		c.Fatalf("%s: a write to the disk has status %d", c.step, status)
	}
	status, got := c.diskRequest(diskIn, markedSector, nil, 512)
	if status != diskOK || !bytes.Equal(got, sector) || !bytes.Equal(c.diskContent(markedSector*512, 512), sector) {
		c.Fatalf("%s: the disk reads %q, status %d", c.step, got[:16], status)
	}
}

// frame is a broadcast with a mark in it, after its header.
func frame(mark []byte) []byte {
	b := make([]byte, hostnet.HeaderSize+64)
	copy(b[hostnet.HeaderSize:], "\xff\xff\xff\xff\xff\xff\x52\x54\x00\x00\x00\x01\x88\xb5")
	copy(b[hostnet.HeaderSize+14:], mark)
	return b
}

func (c *card) serveNIC(mark []byte) {
	c.Helper()
	want := frame(mark)[hostnet.HeaderSize:]
	id := c.send(1, c.queues[1].Readable(frame(mark)))
	peer, buf := c.peer.Queue(0), make([]byte, hostnet.HeaderSize+hostnet.MaxFrame)
	for {
		n, _, err := peer.Receive([][]byte{buf})
		if errors.Is(err, hostnet.ErrAgain) {
			c.must(wait(peer))
			continue
		}
		c.must(err)
		if bytes.Equal(buf[hostnet.HeaderSize:n], want) {
			break
		}
	}
	c.await(1, id)
	// Other frames may be on the wire already.
	room := c.queues[0].Writable(4096)
	sent := false
	for got := 0; !sent || !bytes.Equal(c.queues[0].Bytes(room)[hostnet.HeaderSize:got], want); {
		id := c.send(0, room)
		if !sent {
			err := peer.Send([][]byte{frame(mark)})
			if sent = err == nil; !sent && !errors.Is(err, hostnet.ErrAgain) {
				c.Fatal(err)
			}
		}
		got = int(c.await(0, id))
	}
	if ack := c.command(0x0200, 7, 0); ack != 0 {
		c.Fatalf("%s: VIRTIO_NET_CTRL_VLAN_ADD has status %d", c.step, ack)
	}
}

// command sends a command to the NIC and returns its answer.
func (c *card) command(command uint16, data ...byte) byte {
	c.Helper()
	q := c.queues[c.control()]
	ack := q.Writable(1)
	q.Bytes(ack)[0] = 0xEE
	c.do(c.control(), q.Readable(append([]byte{byte(command >> 8), byte(command)}, data...)), ack)
	return q.Bytes(ack)[0]
}

// Control messages of the console (section 5.3.6.2).
const (
	deviceReady = 0
	portAdd     = 1
	portReady   = 3
	portOpen    = 6

	fromDevice, toDevice = 2, 3 // the queues for them
)

func controlMessage(id uint32, event, value uint16) []byte {
	b := le.AppendUint32(nil, id)
	b = le.AppendUint16(b, event)
	return le.AppendUint16(b, value)
}

// tell sends a control message to the console.
func (c *card) tell(id uint32, event, value uint16) {
	c.Helper()
	q := c.queues[toDevice]
	c.do(toDevice, q.Readable(controlMessage(id, event, value)))
}

// greet brings up port 0 of the console.
func (c *card) greet() {
	c.Helper()
	if c.greeted {
		return
	}
	c.greeted = true
	q := c.queues[fromDevice]
	posted := map[uint16]queuetest.Buffer{}
	for range 16 {
		b := q.Writable(300)
		posted[c.send(fromDevice, b)] = b
	}
	c.tell(0, deviceReady, 1)
	added := func() bool {
		u, ok := q.Used()
		return ok && bytes.HasPrefix(q.Bytes(posted[u.ID]), controlMessage(0, portAdd, 1))
	}
	c.eventually("PORT_ADD of port 0", added)
	c.tell(0, portReady, 1)
}

func (c *card) serveConsole(mark []byte) {
	c.Helper()
	if c.features.Has(console.FeatureMultiport) {
		c.greet()
		c.tell(0, portOpen, 1)
	}
	c.do(1, c.queues[1].Readable(mark))
	c.eventually("output "+string(mark), func() bool { return c.terminal.shows(mark) })
	room := c.queues[0].Writable(64)
	id := c.send(0, room)
	c.terminal.send(mark)
	if n := c.await(0, id); !bytes.Equal(c.queues[0].Bytes(room)[:n], mark) {
		c.Fatalf("%s: input %q, want %q", c.step, c.queues[0].Bytes(room)[:n], mark)
	}
}

func (c *card) serveBalloon() {
	c.Helper()
	page := c.page(givenBase)
	copy(page, canary)
	list := le.AppendUint32(nil, givenBase/memory.PageSize)
	c.do(0, c.queues[0].Readable(list))
	if !bytes.Equal(page, make([]byte, memory.PageSize)) {
		c.Fatalf("%s: a page in the balloon is not given back", c.step)
	}
	c.do(1, c.queues[1].Readable(list))
}

func (c *card) serveEntropy() {
	c.Helper()
	b := c.queues[0].Writable(64)
	clear(c.queues[0].Bytes(b))
	if n := c.do(0, b); n != 64 || bytes.Equal(c.queues[0].Bytes(b), make([]byte, 64)) {
		c.Fatalf("%s: %d random bytes: %x", c.step, n, c.queues[0].Bytes(b))
	}
}

// wait waits for a frame.
func wait(q hostnet.Queue) error {
	_, err := q.Wait(hostnet.ToReceive, nil)
	return err
}
