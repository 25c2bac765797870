package nbd

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Limits of structured replies.
const (
	maxMessage = maxName  // of an error
	maxStatus  = 64 << 10 // bytes of a chunk of block status
	maxEmpty   = 16       // chunks of one reply that carry no data
)

// receive takes one reply, or one chunk of one. An error means that the
// connection is of no more use.
func (c *conn) receive() error {
	b, err := c.in.next(simpleHeader)
	if err != nil {
		return err
	}
	switch binary.BigEndian.Uint32(b) {
	case magicSimple:
		return c.receiveSimple(binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint64(b[8:]))
	case magicStructured:
		if !c.export.structured {
			return fmt.Errorf("%w: a structured reply, which was not agreed on", errProtocol)
		}
		flags, kind := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
		cookie := binary.BigEndian.Uint64(b[8:])
		if b, err = c.in.next(structuredHeader - simpleHeader); err != nil {
			return err
		}
		return c.receiveChunk(flags, kind, cookie, binary.BigEndian.Uint32(b))
	}
	return fmt.Errorf("%w: %x is no reply", errProtocol, b[:4])
}

// receiveSimple takes a simple reply after its header.
func (c *conn) receiveSimple(number uint32, cookie uint64) error {
	k := c.find(cookie)
	switch {
	case k == nil:
		return fmt.Errorf("%w: a reply to no request", errProtocol)
	case k.command == cmdBlockStatus && number == 0,
		k.command == cmdRead && c.export.structured:
		return fmt.Errorf("%w: a simple reply to a %s", errProtocol, commandNames[k.command])
	case errorNumber(number) == unix.ESHUTDOWN:
		return errShutdown
	case number != 0:
		k.err = serverError(k.command, number, "")
	case k.command == cmdRead:
		if err := c.in.fill(k.vec, 0, k.length); err != nil {
			return err
		}
	}
	c.finish(k)
	return nil
}

// receiveChunk takes a chunk of a structured reply after its header.
func (c *conn) receiveChunk(flags, kind uint16, cookie uint64, length uint32) error {
	k := c.find(cookie)
	if k == nil {
		return fmt.Errorf("%w: a reply to no request", errProtocol)
	}
	var err error
	switch {
	case kind == chunkNone:
		if length != 0 || flags&chunkFlagDone == 0 {
			err = fmt.Errorf("%w: an empty chunk of %d bytes that is not the last", errProtocol, length)
		}
	case kind == chunkOffsetData:
		err = c.receiveData(k, length)
	case kind == chunkOffsetHole:
		err = c.receiveHole(k, length)
	case kind == chunkBlockStatus:
		err = c.receiveStatus(k, length)
	case kind&chunkIsError != 0:
		err = c.receiveError(k, kind, length)
	default:
		err = fmt.Errorf("%w: a chunk of kind %d", errProtocol, kind)
	}
	if err != nil {
		return err
	}
	if flags&chunkFlagDone != 0 {
		return c.complete(k)
	}
	if kind == chunkOffsetData || kind == chunkOffsetHole {
		return nil // their bytes are counted
	}
	if k.chunks++; k.chunks > maxEmpty {
		return fmt.Errorf("%w: a reply that does not end", errProtocol)
	}
	return nil
}

// complete ends a call whose last chunk has come.
func (c *conn) complete(k *call) error {
	switch {
	case k.err != nil:
	case k.command == cmdRead && k.got != k.length:
		return fmt.Errorf("%w: %d bytes for a read of %d", errProtocol, k.got, k.length)
	case k.command == cmdBlockStatus && k.extent == 0:
		return fmt.Errorf("%w: a block status without an extent", errProtocol)
	}
	c.finish(k)
	return nil
}

// within counts n bytes of a reply to a read, and says where in the call's
// memory they belong. The chunks of a reply must not overlap, so that their sum
// tells whether there are too many.
func (k *call) within(offset uint64, n int64) (skip int64, err error) {
	skip = int64(offset) - k.offset
	if k.command != cmdRead || offset > 1<<62 || n <= 0 || skip < 0 || skip > k.length || n > k.length-skip || n > k.length-k.got {
		return 0, fmt.Errorf("%w: %d bytes at offset %d for a %s of %d bytes at %d",
			errProtocol, n, offset, commandNames[k.command], k.length, k.offset)
	}
	k.got += n
	return skip, nil
}

// receiveData takes offset:64 and data.
func (c *conn) receiveData(k *call, length uint32) error {
	if length < 8 {
		return fmt.Errorf("%w: a chunk of data of %d bytes", errProtocol, length)
	}
	b, err := c.in.next(8)
	if err != nil {
		return err
	}
	n := int64(length) - 8
	skip, err := k.within(binary.BigEndian.Uint64(b), n)
	if err != nil {
		return err
	}
	return c.in.fill(k.vec, skip, n)
}

// receiveHole takes offset:64 size:32.
func (c *conn) receiveHole(k *call, length uint32) error {
	if length != 12 {
		return fmt.Errorf("%w: a hole in %d bytes", errProtocol, length)
	}
	b, err := c.in.next(12)
	if err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(b[8:]))
	skip, err := k.within(binary.BigEndian.Uint64(b), n)
	if err != nil {
		return err
	}
	for _, m := range k.vec {
		if n == 0 {
			break
		}
		if skip >= int64(len(m)) {
			skip -= int64(len(m))
			continue
		}
		m = m[skip:]
		skip = 0
		m = m[:min(int64(len(m)), n)]
		clear(m)
		n -= int64(len(m))
	}
	return nil
}

// receiveStatus takes context:32 and any number of length:32 flags:32, of which
// the first is of interest.
func (c *conn) receiveStatus(k *call, length uint32) error {
	if k.command != cmdBlockStatus || length < 12 || length%8 != 4 || length > maxStatus {
		return fmt.Errorf("%w: a block status of %d bytes for a %s", errProtocol, length, commandNames[k.command])
	}
	b, err := c.in.next(12)
	if err != nil {
		return err
	}
	if context := binary.BigEndian.Uint32(b); context != c.export.context {
		return fmt.Errorf("%w: a block status of context %d", errProtocol, context)
	}
	k.extent, k.state = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	return c.skip(length - 12)
}

// receiveError takes error:32 length:16 message, and an offset:64 with one kind.
func (c *conn) receiveError(k *call, kind uint16, length uint32) error {
	if length < 6 || length > 6+maxMessage+8 {
		return fmt.Errorf("%w: an error of %d bytes", errProtocol, length)
	}
	b, err := c.in.next(int(length))
	if err != nil {
		return err
	}
	number, message := binary.BigEndian.Uint32(b), b[6:]
	size := int(binary.BigEndian.Uint16(b[4:]))
	if size > len(message) || kind == chunkErrorOffset && size+8 != len(message) {
		return fmt.Errorf("%w: an error of %d bytes with a message of %d", errProtocol, length, size)
	}
	if errorNumber(number) == unix.ESHUTDOWN {
		return errShutdown
	}
	if k.err == nil {
		k.err = serverError(k.command, number, printable(message[:size]))
	}
	return nil
}

// skip drops n bytes.
func (c *conn) skip(n uint32) error {
	for n > 0 {
		b, err := c.in.next(int(min(n, receiveBuffer)))
		if err != nil {
			return err
		}
		n -= uint32(len(b))
	}
	return nil
}
