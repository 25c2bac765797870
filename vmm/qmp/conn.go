package qmp

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// client is one connection.
type client struct {
	server     *Server
	conn       net.Conn
	out        *outbox
	negotiated bool // commands are carried out, and events reported
}

// serve speaks to the client until the connection is at its end.
func (c *client) serve() {
	var writing sync.WaitGroup
	writing.Go(c.write)
	c.read()
	// Half of the connection may be open still. What has been asked is answered.
	_ = c.conn.SetWriteDeadline(time.Now().Add(flushTime)) // fails only when closed
	c.out.finish()
	writing.Wait()
}

// end makes serve finish soon.
func (c *client) end() {
	now := time.Now()
	_ = c.conn.SetReadDeadline(now) // fail only when closed
	_ = c.conn.SetWriteDeadline(now.Add(flushTime))
}

// write sends what is in the outbox, and closes the connection at the end.
func (c *client) write() {
	defer c.conn.Close()
	for {
		messages, ok := c.out.take()
		if !ok {
			return
		}
		if _, err := c.conn.Write(messages); err != nil {
			c.out.giveUp()
			return
		}
	}
}

// read answers requests until the client or the server has had enough.
func (c *client) read() {
	c.out.answer(encode(c.server.greeting()))
	requests := newScanner(c.conn)
	for c.server.context.Err() == nil {
		text, err := requests.next()
		if bad := syntaxError(""); errors.As(err, &bad) {
			c.answer(failure{Error: failf("%s", bad)})
			continue
		}
		if errors.Is(err, errTooLarge) || errors.Is(err, errTooDeep) {
			c.answer(failure{Error: failf("%v; the connection is closed", err)})
		}
		if err != nil {
			return
		}
		c.handle(text)
	}
}

func (c *client) answer(message any) { c.out.answer(encode(message)) }

// handle carries out one request.
func (c *client) handle(text []byte) {
	r, err := parseRequest(text)
	var result any
	if err == nil {
		result, err = c.execute(c.server.context, &r)
	}
	if err != nil {
		c.answer(failure{errorOf(err), r.id})
		return
	}
	if !c.negotiated { // it was qmp_capabilities
		c.negotiated = true
		c.out.answerAndOpen(encode(success{result, r.id}))
		return
	}
	c.answer(success{result, r.id})
	if after := c.server.commands[r.execute].after; after != nil {
		after(c.server)
	}
}

func (c *client) execute(ctx context.Context, r *request) (any, error) {
	negotiates := r.execute == capabilitiesCommand
	switch {
	case negotiates && c.negotiated:
		return nil, &Error{ClassCommandNotFound, "capabilities have been negotiated"}
	case !negotiates && !c.negotiated:
		return nil, &Error{ClassCommandNotFound, "capabilities must be negotiated first, with '" + capabilitiesCommand + "'"}
	}
	cmd, ok := c.server.commands[r.execute]
	if !ok {
		return nil, &Error{ClassCommandNotFound, "there is no command '" + r.execute + "' here; query-commands lists them"}
	}
	c.server.log.Debug("command", "name", r.execute)
	return cmd.run(c.server, ctx, &r.arguments)
}

// event reports an event to a client that has got so far. One that does not read
// is cut off.
func (c *client) event(message []byte) {
	if !c.out.event(message) {
		c.server.log.Warn("a client does not read its messages, and is cut off")
		c.out.giveUp()
		_ = c.conn.Close() // ends what the client's goroutines wait for
	}
}
