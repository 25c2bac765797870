package net

import (
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"
)

// PairOptions describe a pair. The zero value is usable.
type PairOptions struct {
	Name   string       // for messages; "pair"
	Queues int          // queue pairs, 1 to MaxQueues; 0 means 1
	MTU    int          // bytes; 0 means 1500
	Log    *slog.Logger // nil discards
}

// Pair is one end of a wire between two front ends, which is in no network:
// what is sent into queue i of one comes out of queue i of the other. It offers
// no offloads. A sender that is faster than the receiver gets ErrAgain
// when the kernel holds some 200 KiB; nothing is lost.
//
// When one end is closed, the other fails.
type Pair struct {
	*endpoint
	mtu   int
	other *endpoint
}

var _ Backend = (*Pair)(nil)

// NewPair makes the two ends of a wire, over socket pairs of type
// SOCK_SEQPACKET: other than with datagrams, how many wait is bounded by the
// sender's buffer and not by a system-wide sysctl, and the end of the peer is
// noticed.
func NewPair(o PairOptions) (a, b *Pair, err error) {
	if o.Name == "" {
		o.Name = "pair"
	}
	if o.Queues == 0 {
		o.Queues = 1
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	if o.Queues < 1 || o.Queues > MaxQueues {
		return nil, nil, fmt.Errorf("net: %s: %d queue pairs are not between 1 and %d", o.Name, o.Queues, MaxQueues)
	}
	a = &Pair{endpoint: newEndpoint(o.Name, o.Log), mtu: o.MTU}
	b = &Pair{endpoint: newEndpoint(o.Name, o.Log), mtu: o.MTU}
	a.other, b.other = b.endpoint, a.endpoint
	for range o.Queues {
		if err := joinQueues(a.endpoint, b.endpoint); err != nil {
			a.Close()
			b.Close()
			return nil, nil, err
		}
	}
	for _, e := range []*endpoint{a.endpoint, b.endpoint} {
		e.queues[0].enabled.Store(true)
		e.link.Set(true)
	}
	return a, b, nil
}

// joinQueues adds to each end a queue joined to the other's.
func joinQueues(a, b *endpoint) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("net: %s: socket pair: %w", a.name, err)
	}
	q, errA := newFileQueue(a, fds[0], true)
	if errA == nil {
		a.queues = append(a.queues, q)
	}
	q, errB := newFileQueue(b, fds[1], true)
	if errB == nil {
		b.queues = append(b.queues, q)
	}
	if errA != nil {
		return errA
	}
	return errB
}

// SetQueues implements Backend.
func (p *Pair) SetQueues(n int) error { return p.enable(n, nil) }

// SetHeaderSize implements Backend.
func (p *Pair) SetHeaderSize(n int) error { return p.setHeader(n, nil) }

// Offloads implements Backend. There are none.
func (p *Pair) Offloads() Offload { return 0 }

// SetOffloads implements Backend.
func (p *Pair) SetOffloads(o Offload) error { return p.checkOffloads(o, 0) }

// MTU implements Backend.
func (p *Pair) MTU() int { return p.mtu }

// SetLink implements Backend. The other end sees its link go down or up.
func (p *Pair) SetLink(up bool) error {
	if err := p.state(); err != nil {
		return err
	}
	p.other.link.Set(up && p.other.state() == nil)
	return nil
}

// Stats implements Backend.
func (p *Pair) Stats() Stats { return p.stats() }

// Close implements Backend.
func (p *Pair) Close() error { return p.close(nil) }
