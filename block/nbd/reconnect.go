package nbd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

// Pauses between attempts to connect.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// current returns a connection that is not known to be broken, and waits for
// one as long as the call may.
func (c *Client) current(k *call) (*conn, error) {
	var giveUp *time.Timer
	for {
		c.mu.Lock()
		conn, changed, closed, gaveUp := c.conn, c.changed, c.closed, c.gaveUp
		deadline := c.lostAt.Add(c.options.Patience)
		c.mu.Unlock()
		if !k.deadline.IsZero() && k.deadline.Before(deadline) || conn != nil {
			deadline = k.deadline
		}
		switch {
		case closed:
			return nil, block.ErrClosed
		case !deadline.IsZero() && !time.Now().Before(deadline):
			return nil, fmt.Errorf("no connection to %s for %v: %w", c.name, c.options.Patience, unix.EIO)
		case conn != nil && !conn.broken():
			return conn, nil
		case gaveUp:
			return nil, fmt.Errorf("no connection to %s: %w", c.name, unix.EIO)
		}
		// A broken connection is taken away by run at once.
		if giveUp == nil {
			wait := c.options.Patience
			if !deadline.IsZero() {
				wait = time.Until(deadline)
			}
			giveUp = time.NewTimer(wait)
			defer giveUp.Stop()
		}
		select {
		case <-changed:
		case <-giveUp.C:
			return nil, fmt.Errorf("no connection to %s for %v: %w", c.name, c.options.Patience, unix.EIO)
		}
	}
}

func (c *conn) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed != nil
}

// set makes conn the connection that calls use.
func (c *Client) set(conn *conn) (open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	if conn == nil {
		c.lostAt = time.Now()
	}
	if c.closed {
		return false
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return true
}

// run serves one connection after the other until the client is closed.
func (c *Client) run(ctx context.Context, conn *conn) {
	pause := firstPause
	for {
		began := time.Now()
		err := conn.serve(c.options.Silence)
		if !c.set(nil) || errors.Is(err, errClosing) {
			return
		}
		c.log.Warn("the connection to the server is lost, and is made again", "export", c.name, "error", err)
		if time.Since(began) > lastPause {
			pause = firstPause
		}
		if conn = c.reconnect(ctx, &pause); conn == nil {
			return
		}
		if !c.set(conn) {
			conn.disconnect()
			return
		}
		c.log.Info("connected to the server again", "export", c.name)
	}
}

// reconnect tries until there is a connection. It is nil when the client is
// closed.
func (c *Client) reconnect(ctx context.Context, pause *time.Duration) *conn {
	said := ""
	for {
		wait := time.NewTimer(*pause)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		*pause = min(*pause*2, lastPause)
		wire, e, err := connect(ctx, &c.options)
		if err == nil {
			conn := newConn(wire, e)
			if err = c.export.keptBy(e); err == nil {
				return conn
			}
			conn.disconnect()
		}
		if ctx.Err() != nil {
			return nil
		}
		if text := err.Error(); text != said { // once for each reason
			said = text
			c.log.Warn("no connection to the server yet", "export", c.name, "error", err)
		}
	}
}

// keptBy says whether a new connection offers all that the first one did.
func (e export) keptBy(now export) error {
	const counts = flagReadOnly | flagSendFlush | flagSendFUA | flagSendTrim | flagSendWriteZeroes
	lost := e.flags&^now.flags&counts&^flagReadOnly | now.flags&^e.flags&flagReadOnly
	switch {
	case now.size != e.size:
		return fmt.Errorf("the export had %d bytes and now has %d", e.size, now.size)
	case lost != 0:
		return fmt.Errorf("the export has other capabilities than before: transmission flags %#x, not %#x", now.flags, e.flags)
	case now.minimum > e.minimum || now.payload < e.payload:
		return errors.New("the export has other block sizes than before")
	case e.allocation && !now.allocation:
		return errors.New("the export has no block status any more")
	}
	return nil
}
