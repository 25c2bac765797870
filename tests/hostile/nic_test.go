package hostile

import (
	"bytes"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// nicViolations are frames and commands that a NIC cannot take (section 5.1.6).
func nicViolations() []violation {
	var list []violation
	sent := func(name string, b []byte) {
		list = append(list, violation{name: "net: send " + name, victim: nic, want: works, attack: func(c *card) {
			c.do(1, c.queues[1].Readable(b))
		}})
	}
	header := func(h hostnet.Header, n int) []byte {
		b := make([]byte, hostnet.HeaderSize+n)
		h.Put(b[:hostnet.HeaderSize])
		return b
	}
	const csum = hostnet.HeaderNeedsCsum
	sent("less than a header", make([]byte, 3))
	sent("a header and no frame", header(hostnet.Header{}, 0))
	sent("a frame of 13 bytes", header(hostnet.Header{}, 13))
	sent("a frame of 100 KiB", header(hostnet.Header{}, 100<<10))
	sent("garbage for a header", bytes.Repeat([]byte{0xFF}, 1514))
	sent("an unknown kind of segments", header(hostnet.Header{Flags: csum, GSOType: 0x42, GSOSize: 1}, 1500))
	sent("segments of 0 bytes", header(hostnet.Header{Flags: csum, GSOType: hostnet.GSOTCPv4, CsumStart: 34, CsumOffset: 16}, 1500))
	sent("segments without a checksum", header(hostnet.Header{GSOType: hostnet.GSOTCPv4, GSOSize: 1460}, 1500))
	sent("segments of 65535 bytes with headers of 65535", header(hostnet.Header{
		Flags: csum, GSOType: hostnet.GSOTCPv6, GSOSize: 65535, HdrLen: 65535, CsumStart: 54, CsumOffset: 16,
	}, 1500))
	sent("ECN alone", header(hostnet.Header{Flags: csum, GSOType: hostnet.GSOECN}, 1500))
	sent("a checksum behind the frame", header(hostnet.Header{Flags: csum, CsumStart: 1500}, 1500))
	sent("a checksum across the end of the frame", header(hostnet.Header{Flags: csum, CsumStart: 1490, CsumOffset: 9}, 1500))
	sent("a checksum at 65535 + 65535", header(hostnet.Header{Flags: csum, CsumStart: 65535, CsumOffset: 65535}, 1500))

	commanded := func(name string, command uint16, data ...byte) {
		list = append(list, violation{name: "net: command " + name, victim: nic, want: works, attack: func(c *card) {
			if ack := c.command(command, data...); ack != 1 {
				c.Errorf("status %d, want VIRTIO_NET_ERR", ack)
			}
		}})
	}
	ones := bytes.Repeat([]byte{0xFF}, 64)
	commanded("unknown", 0xFFFF)
	commanded("unknown in a known class", 0x01FF, ones...)
	commanded("promiscuous without a value", 0x0000)
	commanded("promiscuous 255", 0x0000, 255)
	commanded("MAC table of 2^32-1 addresses", 0x0100, ones...)
	commanded("MAC table longer than its command", 0x0100, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6)
	commanded("MAC table without the second list", 0x0100, 0, 0, 0, 0)
	commanded("MAC table followed by garbage", 0x0100, 0, 0, 0, 0, 0, 0, 0, 0, 1)
	commanded("group address for the NIC", 0x0101, 1, 2, 3, 4, 5, 6)
	commanded("address of 5 bytes", 0x0101, 2, 2, 3, 4, 5)
	commanded("VLAN 65535", 0x0200, ones[:2]...)
	commanded("VLAN of one byte", 0x0201, 1)
	commanded("announcement that nobody asked for", 0x0300)
	commanded("0 queue pairs", 0x0400, 0, 0)
	commanded("3 queue pairs of 2", 0x0400, netPairs+1, 0)
	commanded("65535 queue pairs", 0x0400, ones[:2]...)
	commanded("all offloads", 0x0500, ones[:8]...)
	return append(list, nicBufferViolations()...)
}

// nicBufferViolations are bad buffers, for frames and for commands.
func nicBufferViolations() []violation {
	broken := func(name string, attack func(c *card)) violation {
		return violation{name: "net: " + name, victim: nic, want: breaks, attack: attack}
	}
	return []violation{
		broken("a buffer to receive that is readable", func(c *card) {
			c.send(0, c.queues[0].Readable(make([]byte, 2048)))
		}),
		broken("a buffer to receive that is partly readable", func(c *card) {
			c.send(0, c.queues[0].Readable(make([]byte, 16)), c.queues[0].Writable(2048))
		}),
		broken("a buffer to receive that is shorter than the header", func(c *card) {
			c.send(0, c.queues[0].Writable(11))
		}),
		broken("a command without room for the answer", func(c *card) {
			c.send(c.control(), c.queues[c.control()].Readable([]byte{0, 0, 1}))
		}),
		{name: "net: command of one byte", victim: nic, want: works, attack: func(c *card) {
			q := c.queues[c.control()]
			ack := q.Writable(1)
			c.do(c.control(), q.Readable([]byte{0}), ack)
			if got := q.Bytes(ack)[0]; got != 1 {
				c.Errorf("status %d", got)
			}
		}},
		{name: "net: command of 2 GiB with a MAC table to match", victim: nic, want: works, attack: func(c *card) {
			q := c.queues[c.control()]
			ack := q.Writable(1)
			head := q.Readable([]byte{1, 0, 0, 0, 0, 0x10, 0, 0, 0, 0}) // 2^28 addresses
			c.do(c.control(), head, queuetest.Buffer{Addr: givenBase, Len: 2 << 30}, ack)
		}},
		{name: "net: send 2 GiB", victim: nic, want: works, attack: func(c *card) {
			c.do(1, c.queues[1].Readable(make([]byte, hostnet.HeaderSize)), queuetest.Buffer{Addr: givenBase, Len: 2 << 30})
		}},
		{name: "net: send a writable buffer", victim: nic, want: works, attack: func(c *card) {
			c.do(1, c.queues[1].Writable(1500))
		}},
		{name: "net: frames while no buffer is given", victim: nic, want: works, attack: func(c *card) {
			for range 1000 {
				if c.peer.Queue(0).Send([][]byte{make([]byte, hostnet.HeaderSize+1500)}) != nil {
					break
				}
			}
		}},
		{name: "net: both pairs on and off", victim: nic, want: works, attack: func(c *card) {
			for n := range byte(40) {
				if ack := c.command(0x0400, n%netPairs+1, 0); ack != 0 {
					c.Fatalf("status %d", ack)
				}
				c.notify(3)
			}
		}},
	}
}
