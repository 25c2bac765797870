package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Event is what a server reports of itself.
type Event struct {
	Name string
	Time time.Time
	Data json.RawMessage // an object, or nil
}

// Client gives commands, one after the other, to a Server or to QEMU. Events that come
// with their answers are passed over. Its methods must not be called at the same time.
type Client struct {
	conn    net.Conn
	decoder *json.Decoder
}

// message is anything that a server sends.
type message struct {
	QMP    *json.RawMessage `json:"QMP"`
	Return json.RawMessage  `json:"return"`
	Error  *Error           `json:"error"`
	Event  string           `json:"event"`
	Data   json.RawMessage  `json:"data"`
	Stamp  timestamp        `json:"timestamp"`
}

// NewClient waits for the greeting and negotiates no capabilities. Conn is the
// client's from now on, and closed when there is an error.
func NewClient(ctx context.Context, conn net.Conn) (*Client, error) {
	c := &Client{conn, json.NewDecoder(conn)}
	var m message
	err := c.bounded(ctx, func() error { return c.decoder.Decode(&m) })
	switch {
	case err != nil:
		err = fmt.Errorf("no greeting: %w", err)
	case m.QMP == nil:
		err = errors.New("the greeting is not one of QMP")
	default:
		err = c.Execute(ctx, capabilitiesCommand, nil, nil)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// Execute gives a command and waits for its answer, which is put into result
// unless that is nil. Arguments are an object, or nil for none. The server's error
// is an *Error. After any other error the client is of no more use.
func (c *Client) Execute(ctx context.Context, command string, arguments, result any) error {
	request := struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
	}{command, arguments}
	var m message
	err := c.bounded(ctx, func() error {
		if err := json.NewEncoder(c.conn).Encode(request); err != nil {
			return err
		}
		for m.Return == nil && m.Error == nil {
			m = message{}
			if err := c.decoder.Decode(&m); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", command, err)
	case m.Error != nil:
		return m.Error
	case result == nil:
		return nil
	}
	return json.Unmarshal(m.Return, result)
}

// Next waits for the next event. The error is io.EOF when the server has nothing more
// to say.
func (c *Client) Next(ctx context.Context) (Event, error) {
	var m message
	err := c.bounded(ctx, func() error {
		for m.Event == "" {
			m = message{}
			if err := c.decoder.Decode(&m); err != nil {
				return err
			}
		}
		return nil
	})
	return Event{m.Event, time.Unix(m.Stamp.Seconds, m.Stamp.Microseconds*1000), m.Data}, err
}

// bounded ends f's reading and writing when ctx is done.
func (c *Client) bounded(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := f()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }
