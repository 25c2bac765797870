package dma

import "slices"

// Channel is one DMA channel as its device sees it. Its methods may be called
// from any goroutine.
type Channel struct {
	dma    *DMA
	number uint8
	ready  func() // guarded by dma.mu
}

// SetDREQ tells whether the device asks for a transfer, which the guest sees in
// the status register.
func (c *Channel) SetDREQ(on bool) {
	c.dma.mu.Lock()
	defer c.dma.mu.Unlock()
	assign(&c.controller().DREQ, c.bit(), on)
}

// OnReady sets the function that is called, on the thread of a vCPU and with no
// lock held, after the guest has written to a register while DREQ is set and
// the channel is able to transfer. It is how a device goes on that found its
// channel masked.
func (c *Channel) OnReady(f func()) {
	c.dma.mu.Lock()
	defer c.dma.mu.Unlock()
	c.ready = f
}

// Remaining is how many bytes the channel can move before its terminal count,
// masked or not.
func (c *Channel) Remaining() int {
	c.dma.mu.Lock()
	defer c.dma.mu.Unlock()
	return (int(c.state().Count) + 1) << c.shift()
}

// Write moves bytes of p from the device to memory (the data sheet's write
// transfer): all of them, or fewer when the terminal count comes first, which tc
// reports, or when the guest has not set up the channel for it. In a verify
// transfer they are counted and go nowhere. Of channels 5 to 7, an odd byte at
// the end of p is left.
func (c *Channel) Write(p []byte) (n int, tc bool) {
	return c.transfer(p, modeWrite)
}

// Read moves bytes from memory to the device (the data sheet's read transfer),
// and otherwise is as Write. In a verify transfer p reads as 0xFF, which is what
// a bus gives that nobody drives.
func (c *Channel) Read(p []byte) (n int, tc bool) {
	return c.transfer(p, modeRead)
}

func (c *Channel) transfer(p []byte, kind uint8) (n int, tc bool) {
	d := c.dma
	d.mu.Lock()
	defer d.mu.Unlock()
	s := c.state()
	mode := s.Mode & modeTransfer
	if !c.open() || mode != kind && mode != modeVerify {
		return 0, false
	}
	units := min(uint32(len(p))>>c.shift(), uint32(s.Count)+1)
	if units == 0 {
		return 0, false
	}
	n = int(units << c.shift())
	switch {
	case mode == kind:
		c.move(p[:n], kind)
	case kind == modeRead:
		fill(p[:n], 0xFF)
	}
	return n, c.controller().advance(c.number&3, units)
}

// move copies p to or from memory, in pieces that do not run over the end of
// the 64 Ki units that an address counts.
func (c *Channel) move(p []byte, kind uint8) {
	s := c.state()
	unit := 1 << c.shift()
	span := 0x10000 << c.shift() // bytes
	page := uint64(c.dma.s.Pages[pageOf[c.number]]) << 16 &^ uint64(span-1)
	at := int(s.Address) << c.shift()
	for len(p) > 0 {
		var n int
		if s.Mode&modeDecrement == 0 {
			n = min(len(p), span-at)
			c.access(p[:n], page+uint64(at), kind)
			at = (at + n) % span
		} else {
			n = min(len(p), at+unit, len(c.dma.scratch))
			c.accessDown(p[:n], page+uint64(at+unit-n), kind)
			at = (at - n + span) % span
		}
		p = p[n:]
	}
}

// access copies p to or from ascending addresses. Nothing stores what is
// written where there is no RAM, and nothing drives the bus when it is read.
func (c *Channel) access(p []byte, gpa uint64, kind uint8) {
	var err error
	if kind == modeWrite {
		err = c.dma.memory.WriteAt(p, gpa)
	} else if err = c.dma.memory.ReadAt(p, gpa); err != nil {
		fill(p, 0xFF)
	}
	if err != nil && c.dma.log.Allow() {
		c.dma.log.Warn("the guest points a DMA channel at what is no RAM", "channel", c.number, "error", err)
	}
}

// accessDown is access for addresses that descend to gpa.
func (c *Channel) accessDown(p []byte, gpa uint64, kind uint8) {
	b := c.dma.scratch[:len(p)]
	if kind == modeWrite {
		c.reverse(b, p)
		c.access(b, gpa, kind)
		return
	}
	c.access(b, gpa, kind)
	c.reverse(p, b)
}

// reverse copies the units of src to dst from the last to the first.
func (c *Channel) reverse(dst, src []byte) {
	copy(dst, src)
	slices.Reverse(dst)
	if c.shift() == 0 {
		return
	}
	for i := 0; i+1 < len(dst); i += 2 {
		dst[i], dst[i+1] = dst[i+1], dst[i]
	}
}

// open reports whether a request of the device would be served. The lock is
// held.
func (c *Channel) open() bool {
	if c.number < 4 && !c.dma.channels[4].enabled(modeCascade) {
		return false // the first controller asks through the second
	}
	return c.state().Mode&modeKind != modeCascade && c.enabled(c.state().Mode&modeKind)
}

// enabled reports whether the channel is in the given mode, not masked, and its
// controller on.
func (c *Channel) enabled(kind uint8) bool {
	s := c.controller()
	return s.Command&commandDisable == 0 && s.Mask&c.bit() == 0 && c.state().Mode&modeKind == kind
}

func (c *Channel) requested() bool              { return c.controller().DREQ&c.bit() != 0 }
func (c *Channel) controller() *ControllerState { return &c.dma.s.Controllers[c.number>>2] }
func (c *Channel) state() *ChannelState         { return &c.controller().Channels[c.number&3] }
func (c *Channel) bit() uint8                   { return 1 << (c.number & 3) }

// shift is 1 for the channels that count words.
func (c *Channel) shift() uint8 { return c.number >> 2 }

func fill(p []byte, v byte) {
	for i := range p {
		p[i] = v
	}
}
