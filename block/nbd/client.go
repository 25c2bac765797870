package nbd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

// Client is an export of a server, as a [block.Layer].
type Client struct {
	options  Options
	name     string
	log      *slog.Logger
	export   export // of the first connection; later ones must not offer less
	readOnly bool
	zeroes   []byte // what is written where the server has no WRITE_ZEROES

	calls chan *call // those that are not in use

	// edge keeps a request that covers parts of the server's blocks, and so
	// reads before it writes, away from all others that write.
	edge sync.RWMutex

	mu      sync.Mutex
	conn    *conn         // nil while there is none
	changed chan struct{} // closed, and made anew, when conn or closed changes
	lostAt  time.Time
	closed  bool
	gaveUp  bool // requests wait for no connection any more

	cancel  context.CancelFunc
	running sync.WaitGroup
}

var (
	_ block.Layer  = (*Client)(nil)
	_ block.Mapper = (*Client)(nil)
	_ block.Shaper = (*Client)(nil)
)

// Open connects to a server. The context is only for the opening. An error
// names the export.
func Open(ctx context.Context, o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Client{
		options: o, name: o.Name(), log: o.Log,
		zeroes: make([]byte, 64<<10), calls: make(chan *call, MaxInFlight), changed: make(chan struct{}),
	}
	for range MaxInFlight {
		c.calls <- newCall()
	}
	wire, e, err := connect(ctx, &c.options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	if e.flags&flagReadOnly != 0 && !o.ReadOnly {
		newConn(wire, e).disconnect()
		return nil, fmt.Errorf("%s: the server gives the export for reading alone (a disk that is only read needs <readonly/>): %w", c.name, unix.EROFS)
	}
	c.export, c.readOnly = e, o.ReadOnly
	if !c.readOnly && e.flags&(flagSendFlush|flagSendFUA) == 0 {
		c.log.Warn("the server has neither FLUSH nor FUA: what the guest flushes may be lost with the server", "export", c.name)
	}
	c.conn = newConn(wire, e)
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.running.Go(func() { c.run(ctx, c.conn) })
	return c, nil
}

// Name is the export as messages name it.
func (c *Client) Name() string { return c.name }

// Size implements [block.Layer]. It is a multiple of the server's block size.
func (c *Client) Size() int64 { return c.export.size }

// ReadOnly implements [block.Layer].
func (c *Client) ReadOnly() bool { return c.readOnly }

// Topology implements [block.Shaper].
func (c *Client) Topology() block.Topology {
	unit := max(int(c.export.minimum), block.SectorSize)
	t := block.Topology{LogicalBlockSize: unit, PhysicalBlockSize: unit}
	if c.export.flags&flagSendTrim != 0 {
		t.DiscardGranularity = unit
	}
	return t
}

// check says whether a range is within the export.
func (c *Client) check(offset, n int64, changes bool) error {
	switch {
	case changes && c.readOnly:
		return block.ErrReadOnly
	case offset < 0 || n < 0 || offset > c.export.size || n > c.export.size-offset:
		return block.ErrOutOfRange
	}
	return nil
}

// aligned reports whether a range keeps to the server's blocks.
func (c *Client) aligned(offset, n int64) bool { return (offset|n)&(c.export.minimum-1) == 0 }

// ReadVec implements [block.Layer].
func (c *Client) ReadVec(vec [][]byte, offset int64) error {
	n := bytesOf(vec)
	if err := c.check(offset, n, false); err != nil || n == 0 {
		return err
	}
	k := <-c.calls
	defer c.put(k)
	for skip := int64(0); skip < n; {
		piece := c.piece(offset+skip, n-skip)
		k.begin(cmdRead, 0, offset+skip, piece)
		if c.aligned(k.offset, piece) {
			k.vec = appendRange(k.vec, vec, skip, piece)
		} else {
			// The server's blocks are read whole; what is around the caller's
			// bytes goes into the pads.
			before, after := c.pad(k)
			k.vec = append(k.vec, before)
			k.vec = appendRange(k.vec, vec, skip, piece)
			k.vec = append(k.vec, after)
		}
		if err := c.do(k); err != nil {
			return err
		}
		skip += piece
	}
	return nil
}

// piece is how much of a range goes into one request. All but the last piece
// end at the end of a block.
func (c *Client) piece(offset, n int64) int64 {
	most := c.export.payload
	if !c.aligned(offset, n) {
		most -= offset&(c.export.minimum-1) + c.export.minimum // for the pads
		if most <= 0 {
			most = c.export.minimum - offset&(c.export.minimum-1)
		}
	}
	return min(n, most)
}

// pad widens a call to whole blocks, and returns memory for what was added
// before and after.
func (c *Client) pad(k *call) (before, after []byte) {
	unit := c.export.minimum
	if k.pads == nil {
		k.pads = make([]byte, 2*unit)
	}
	from := k.offset &^ (unit - 1)
	to := (k.offset + k.length + unit - 1) &^ (unit - 1)
	before = k.pads[:k.offset-from]
	after = k.pads[unit:][:to-k.offset-k.length]
	k.offset, k.length = from, to-from
	return before, after
}

// WriteVec implements [block.Layer].
func (c *Client) WriteVec(vec [][]byte, offset int64) error {
	n := bytesOf(vec)
	if err := c.check(offset, n, true); err != nil || n == 0 {
		return err
	}
	if !c.aligned(offset, n) {
		c.edge.Lock()
		defer c.edge.Unlock()
	} else {
		c.edge.RLock()
		defer c.edge.RUnlock()
	}
	k := <-c.calls
	defer c.put(k)
	for skip := int64(0); skip < n; {
		piece := c.piece(offset+skip, n-skip)
		if err := c.write(k, vec, skip, offset+skip, piece); err != nil {
			return err
		}
		skip += piece
	}
	return nil
}

// write writes n bytes of vec from byte skip on.
func (c *Client) write(k *call, vec [][]byte, skip, offset, n int64) error {
	var before, after []byte
	if !c.aligned(offset, n) {
		k.begin(cmdWrite, 0, offset, n)
		before, after = c.pad(k)
		from, to, unit := k.offset, k.offset+k.length, c.export.minimum
		if err := c.readPad(k, from, before, 0); err != nil {
			return err
		}
		if err := c.readPad(k, to-unit, after, unit-int64(len(after))); err != nil {
			return err
		}
		k.begin(cmdWrite, c.writeFlags(), from, to-from)
	} else {
		k.begin(cmdWrite, c.writeFlags(), offset, n)
	}
	k.vec = append(k.vec, before)
	k.vec = appendRange(k.vec, vec, skip, n)
	k.vec = append(k.vec, after)
	return c.do(k)
}

// readPad reads the part of the block at offset that begins at byte skip of it.
func (c *Client) readPad(k *call, offset int64, pad []byte, skip int64) error {
	if len(pad) == 0 {
		return nil
	}
	rest := make([]byte, c.export.minimum-int64(len(pad)))
	k.begin(cmdRead, 0, offset, c.export.minimum)
	if skip == 0 {
		k.vec = append(k.vec, pad, rest)
	} else {
		k.vec = append(k.vec, rest, pad)
	}
	return c.do(k)
}

// writeFlags makes each write durable by itself on a server that has no other
// way.
func (c *Client) writeFlags() uint16 {
	if c.export.flags&(flagSendFlush|flagSendFUA) == flagSendFUA {
		return cmdFlagFUA
	}
	return 0
}

// maxRange is the most bytes of a TRIM or WRITE_ZEROES, so that none takes
// overly long.
const maxRange = 128 << 20

// WriteZeroes implements [block.Layer].
func (c *Client) WriteZeroes(offset, length int64, unmap bool) error {
	if err := c.check(offset, length, true); err != nil {
		return err
	}
	unit := c.export.minimum
	from, to := (offset+unit-1)&^(unit-1), (offset+length)&^(unit-1)
	if c.export.flags&flagSendWriteZeroes == 0 || from >= to {
		return c.writeZeroes(offset, length)
	}
	flags := c.writeFlags()
	if !unmap {
		flags |= cmdFlagNoHole
	}
	return errors.Join(
		c.writeZeroes(offset, from-offset),
		c.ranges(cmdWriteZeroes, flags, from, to),
		c.writeZeroes(to, offset+length-to),
	)
}

// writeZeroes writes zeroes as data.
func (c *Client) writeZeroes(offset, length int64) error {
	const most = 1 << 20
	var vec [][]byte
	for length > 0 {
		vec = vec[:0]
		n := min(length, most)
		for left := n; left > 0; left -= int64(len(vec[len(vec)-1])) {
			vec = append(vec, c.zeroes[:min(left, int64(len(c.zeroes)))])
		}
		if err := c.WriteVec(vec, offset); err != nil {
			return err
		}
		offset += n
		length -= n
	}
	return nil
}

// ranges carries out a command without data on whole blocks.
func (c *Client) ranges(command, flags uint16, from, to int64) error {
	c.edge.RLock()
	defer c.edge.RUnlock()
	k := <-c.calls
	defer c.put(k)
	for from < to {
		n := min(to-from, maxRange)
		k.begin(command, flags, from, n)
		if err := c.do(k); err != nil {
			return err
		}
		from += n
	}
	return nil
}

// Discard implements [block.Layer].
func (c *Client) Discard(offset, length int64) error {
	if err := c.check(offset, length, true); err != nil {
		return err
	}
	if c.export.flags&flagSendTrim == 0 {
		return nil
	}
	unit := c.export.minimum
	err := c.ranges(cmdTrim, 0, (offset+unit-1)&^(unit-1), (offset+length)&^(unit-1))
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// Flush implements [block.Layer].
func (c *Client) Flush() error {
	if c.readOnly || c.export.flags&flagSendFlush == 0 {
		return nil
	}
	k := <-c.calls
	defer c.put(k)
	k.begin(cmdFlush, 0, 0, 0)
	return c.do(k)
}

// Map implements [block.Mapper]. All is data to a server without block status.
func (c *Client) Map(offset, length int64) (block.Extent, error) {
	if err := c.check(offset, length, false); err != nil {
		return block.Extent{}, err
	}
	data := block.Extent{Length: length, Allocated: true}
	if !c.export.allocation || length == 0 {
		return data, nil
	}
	unit := c.export.minimum
	from := offset &^ (unit - 1)
	to := min((offset+length+unit-1)&^(unit-1), from+maxRange)
	k := <-c.calls
	defer c.put(k)
	k.begin(cmdBlockStatus, cmdFlagReqOne, from, to-from)
	if err := c.do(k); err != nil {
		return block.Extent{}, err
	}
	n := min(from+int64(k.extent)-offset, length)
	if n <= 0 {
		data.Length = min(length, unit) // less than a block says nothing
		return data, nil
	}
	return block.Extent{Length: n, Zero: k.state&stateZero != 0, Allocated: k.state&stateHole == 0}, nil
}

// put gives a call back.
func (c *Client) put(k *call) {
	k.end()
	c.calls <- k
}

// do carries out a call, on one connection after the other if they break.
func (c *Client) do(k *call) error {
	for {
		conn, err := c.current(k)
		if err != nil {
			return err
		}
		if !conn.register(k) {
			continue // current waits for another
		}
		conn.send(k)
		if err := <-k.done; err == nil {
			return k.err
		}
		if k.deadline.IsZero() {
			k.deadline = time.Now().Add(c.options.Patience)
		}
	}
}

// GiveUp has requests wait no more for a connection that was lost: they fail at
// once, those that wait already included. Others go on. It is for a machine that
// is about to be closed.
func (c *Client) GiveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gaveUp = true
	if !c.closed {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// Close implements [block.Layer]. Requests in flight fail.
func (c *Client) Close() error {
	c.mu.Lock()
	conn := c.conn
	first := !c.closed
	if first {
		c.closed = true
		close(c.changed)
		c.changed = make(chan struct{})
	}
	c.mu.Unlock()
	if !first {
		c.running.Wait()
		return nil
	}
	c.cancel()
	if conn != nil {
		conn.disconnect()
	}
	c.running.Wait()
	return nil
}
