// Package rng is the virtio entropy device (Virtual I/O Device specification
// 1.3, section 5.4): a queue of buffers that it fills with random bytes.
//
// The device has no feature bits of its own and no configuration space.
package rng

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// MaxRequest is the most that one request is answered with, 64 KiB. The driver
// may ask for gigabytes, and a reset must wait until the bytes that are being
// fetched have come; the specification allows any answer that is not empty
// (section 5.4.6.2). Drivers ask for a page at most.
const MaxRequest = 64 << 10

// queueSize is that of other hosts. A driver has one request at a time.
const queueSize = 8

// Limit is how much the guest may take from the source. The zero value is no
// limit.
type Limit struct {
	Bytes  uint64        // in each period
	Period time.Duration // greater than 0 when Bytes is
}

// Options are what an entropy device is made of.
type Options struct {
	Name string // the device in log messages, for instance "rng0"

	// Source is where the random bytes come from; nil is the host kernel's
	// generator. It is read by one goroutine and should not block for long: a
	// reset waits for the Read in progress. When it has a SetReadDeadline
	// method, as sockets and pipes do, that is used to interrupt it.
	Source io.Reader

	// Limit makes a guest wait that takes more.
	Limit Limit
	// Clock times the limit's periods. It is required with a limit.
	Clock clock.Clock

	Log *slog.Logger // nil discards
}

// Device is an entropy device. It implements virtio.Device.
type Device struct {
	source io.Reader
	quota  quota
	log    *bus.GuestLog
	run    *run // nil while inactive
}

var _ virtio.Device = (*Device)(nil)

// New returns an inactive device. It is an error when the limit has no period
// or no clock.
func New(o Options) (*Device, error) {
	if o.Limit.Bytes > 0 && (o.Limit.Period <= 0 || o.Clock == nil) {
		return nil, fmt.Errorf("rng %s: a limit of %d bytes needs a period and a clock", o.Name, o.Limit.Bytes)
	}
	if o.Source == nil {
		o.Source = rand.Reader
	}
	d := &Device{source: o.Source, log: bus.NewGuestLog(o.Log, o.Name)}
	d.quota.init(o.Limit, o.Clock)
	return d, nil
}

// Type implements virtio.Device.
func (d *Device) Type() virtio.Type { return virtio.Entropy }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features {
	return virtio.FeaturePackedRing | virtio.FeatureInOrder
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 { return []uint16{queueSize} }

// ReadConfig implements virtio.Device: there is no configuration space.
func (d *Device) ReadConfig(_ uint64, data []byte) { clear(data) }

// WriteConfig implements virtio.Device.
func (d *Device) WriteConfig(uint64, []byte) {}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	q := a.Queues[0]
	if q == nil {
		return nil // a driver without its queue wants nothing
	}
	r := &run{d: d, q: q, stop: make(chan struct{}), done: make(chan struct{})}
	d.run = r
	go func() {
		defer close(r.done)
		if err := queue.Serve(q, r.answer); err != nil {
			a.Interrupts.NeedsReset(err)
		}
	}()
	return nil
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	r := d.run
	if r == nil {
		return
	}
	d.run = nil
	close(r.stop)
	r.q.Stop()
	// A source that knows no deadlines returns an error, and is waited for.
	if s, ok := d.source.(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = s.SetReadDeadline(time.Unix(1, 0))
		defer s.SetReadDeadline(time.Time{})
	}
	<-r.done
}

// run is the device between an Activate and a Reset.
type run struct {
	d    *Device
	q    *queue.Queue
	stop chan struct{} // closed by Reset
	done chan struct{} // closed when the goroutine has ended
}

func (r *run) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// answer fills the buffer of a request. What there is of a source that fails is
// given to the guest; only when that is nothing, the device is broken.
func (r *run) answer(c *queue.Chain) error {
	w := c.Writer()
	want := r.grant(min(w.Len(), MaxRequest))
	got, err := w.ReadFull(r.d.source, want)
	switch {
	case r.stopped():
		return nil
	case got == 0 && err != nil:
		return fmt.Errorf("the source of random bytes failed: %w", noEOF(err))
	case err != nil && r.d.log.Allow():
		r.d.log.Warn("the source of random bytes gave less than was wanted", "error", noEOF(err))
	}
	r.q.Push(c, uint32(got))
	return nil
}

// noEOF says what the end of a source means.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it has ended")
	}
	return err
}

// grant returns how many of n bytes the limit allows, at least one if n is not
// 0, after waiting for that. It is 0 when the device is stopped meanwhile.
func (r *run) grant(n int) int {
	s := &r.d.quota
	if s.clock == nil || n == 0 {
		return n
	}
	for {
		if granted := s.take(n); granted > 0 {
			return granted
		}
		r.q.Flush()
		select {
		case <-s.renewed:
		case <-r.stop:
			return 0
		}
	}
}

// quota is what is left of the limit in the current period. A period begins
// with the first byte that is taken after the last one. It outlives a reset,
// so that the guest gains nothing by one.
type quota struct {
	limit   Limit
	clock   clock.Clock // nil without a limit
	timer   clock.Timer
	renewed chan struct{} // capacity 1
	left    uint64
	end     time.Duration // of the period
}

func (s *quota) init(l Limit, c clock.Clock) {
	if l.Bytes == 0 {
		return
	}
	s.limit, s.clock, s.end = l, c, c.Now()
	s.renewed = make(chan struct{}, 1)
	s.timer = c.NewTimer(func() {
		select {
		case s.renewed <- struct{}{}:
		default:
		}
	})
}

// take takes up to n bytes. When there are none, it arms the timer.
func (s *quota) take(n int) int {
	if now := s.clock.Now(); now >= s.end {
		s.left, s.end = s.limit.Bytes, now+s.limit.Period
	}
	if s.left == 0 {
		s.timer.Set(s.end)
		return 0
	}
	granted := min(uint64(n), s.left)
	s.left -= granted
	return int(granted)
}
