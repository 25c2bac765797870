package chardev

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flushTime is how long Close waits for pending output to reach the host,
	// unless the back end says otherwise.
	flushTime = 500 * time.Millisecond

	// stopTime is how long Close then waits for a goroutine that was
	// interrupted. Only a reader or writer that cannot be interrupted needs it.
	stopTime = 250 * time.Millisecond
)

// interrupter is what input comes from. After interrupt, whoever waits for it,
// and will later, returns soon; interrupt reports whether it can do that.
type interrupter interface{ interrupt() bool }

// source is input that a Read can be blocked in.
type source interface {
	io.Reader
	interrupter
}

// port is what all back ends are made of: outputs, an input and the front end.
// A back end's constructor fills it in, and starts run, if there is an input,
// from Attach.
type port struct {
	opts Options
	errs errorLog

	main *output    // nil when output is thrown away
	tee  *output    // nil without Options.Tee
	both sync.Mutex // held while main and tee are given the same bytes
	sent atomic.Uint64

	input interrupter  // nil without input
	run   func()       // reads input until it ends; nil without input
	close func() error // releases host resources

	flushTime time.Duration // how long Close waits for pending output
	// drain waits, until a deadline, for what main has written to be taken out
	// of the host resource, where closing that would lose it; nil otherwise.
	drain func(deadline time.Time)

	toFront sync.Mutex // held while the front end is called with input
	front   Receiver
	carrier bool          // the state of the connection
	modem   bool          // its modem lines tell the front end more than carrier
	ready   chan struct{} // capacity 1
	done    chan struct{} // closed by Close
	inEnded chan struct{} // closed when run has returned; nil before Attach
	in      atomic.Uint64

	closeOnce sync.Once
	closeErr  error
}

// init prepares p; the back end adds main, input and run itself.
func (p *port) init(opts Options, carrier bool) {
	p.opts = opts
	p.errs = newErrorLog(opts.Log, opts.Name)
	p.carrier = carrier
	p.flushTime = flushTime
	p.ready = make(chan struct{}, 1)
	p.done = make(chan struct{})
	if opts.Tee != nil {
		p.tee = p.newOutput("log copy", &writerSink{w: opts.Tee}, blockWhenFull, true)
	}
}

// newOutput starts an output of this port; what names it in log messages.
func (p *port) newOutput(what string, s sink, full overflow, linked bool) *output {
	return newOutput(p.outputOptions(what, s, full, linked))
}

// outputOptions are those of an output that waits for ever when it has to.
func (p *port) outputOptions(what string, s sink, full overflow, linked bool) outputOptions {
	return outputOptions{
		sink: s, overflow: full, linked: linked, onSpace: p.outputReady,
		onError: func(err error) {
			p.errs.report(what+" failed, output of the guest is lost", err)
		},
	}
}

// losing makes o drop the oldest output while nobody is at the other end, or
// while whoever is there has taken nothing for the time that patience, as in
// PtyOptions, says. name is the other end in messages.
func (p *port) losing(o *outputOptions, patience time.Duration, name string) {
	o.overflow = dropUnread
	switch {
	case patience == 0:
		o.patience = DefaultPatience
	case patience > 0:
		o.patience = patience
	}
	o.onStall = func() {
		p.errs.report("the oldest output is dropped until it reads on",
			fmt.Errorf("the client of %s has read nothing for %v", name, o.patience))
	}
}

func (p *port) outputReady() {
	p.toFront.Lock()
	front, stopped := p.front, p.stopped()
	p.toFront.Unlock()
	if r, ok := front.(OutputReceiver); ok && !stopped {
		r.OutputReady()
	}
}

// Attach implements Backend.
func (p *port) Attach(r Receiver) {
	p.toFront.Lock()
	defer p.toFront.Unlock()
	if p.front != nil {
		panic("chardev: " + p.opts.Name + " already has a front end")
	}
	p.front = r
	if c, ok := r.(CarrierReceiver); ok {
		c.Carrier(p.carrier)
	}
	if p.run == nil || p.stopped() {
		return
	}
	p.inEnded = make(chan struct{})
	go func() {
		defer close(p.inEnded)
		p.run()
	}()
}

// Write implements Backend.
func (p *port) Write(b []byte) int {
	switch {
	case p.tee != nil:
		return p.writeBoth(b)
	case p.main != nil:
		return p.main.write(b)
	}
	p.sent.Add(uint64(len(b)))
	return len(b)
}

// writeBoth is Write with a tee. Both outputs take the same bytes, so what one
// has no room for waits for both.
func (p *port) writeBoth(b []byte) int {
	p.both.Lock()
	defer p.both.Unlock()
	n := p.tee.reserve(len(b))
	if p.main != nil {
		n = p.main.reserve(n)
		p.main.put(b[:n])
	} else {
		p.sent.Add(uint64(n))
	}
	p.tee.put(b[:n])
	return n
}

// Ready implements Backend.
func (p *port) Ready() {
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

// Stats implements Backend.
func (p *port) Stats() Stats {
	s := Stats{Out: p.sent.Load()}
	if p.main != nil {
		s = p.main.counts()
	}
	s.In = p.in.Load()
	return s
}

// stopped reports whether Close has begun.
func (p *port) stopped() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// setCarrier tells the front end, if it wants to know, and the output that the
// connection came or went.
func (p *port) setCarrier(up bool) {
	p.toFront.Lock()
	defer p.toFront.Unlock()
	if p.stopped() {
		return
	}
	p.carrier = up
	space := p.main != nil && p.main.setLink(up)
	_, sees := p.front.(ModemReceiver)
	if c, ok := p.front.(CarrierReceiver); ok && !(up && sees && p.modem) {
		c.Carrier(up)
	}
	if r, ok := p.front.(OutputReceiver); ok && space {
		r.OutputReady()
	}
}

// hasModem says whether setModem will tell the front end, and not setCarrier.
func (p *port) hasModem(has bool) {
	p.toFront.Lock()
	defer p.toFront.Unlock()
	p.modem = has
}

// setModem tells the front end about real modem lines, if it has any. It returns
// false when there is no front end yet.
func (p *port) setModem(lines ModemLines) bool {
	p.toFront.Lock()
	defer p.toFront.Unlock()
	if r, ok := p.front.(ModemReceiver); ok && !p.stopped() {
		r.ModemStatus(lines)
	}
	return p.front != nil
}

// deliver offers input to the front end until all of it is taken. It returns
// false when the back end is being closed.
func (p *port) deliver(b []byte) bool {
	for {
		n, ok := p.offer(b)
		if !ok {
			return false
		}
		p.in.Add(uint64(n))
		if b = b[n:]; len(b) == 0 {
			return true
		}
		select {
		case <-p.ready:
		case <-p.done:
			return false
		}
	}
}

// offer calls the front end, unless Close has begun: it has promised not to.
func (p *port) offer(b []byte) (n int, ok bool) {
	p.toFront.Lock()
	defer p.toFront.Unlock()
	if p.stopped() {
		return 0, false
	}
	return p.front.Receive(b), true
}

// deliverBreak is deliver of a break condition, which a front end that knows
// none is spared.
func (p *port) deliverBreak() bool {
	for {
		taken, ok := p.offerBreak()
		if taken || !ok {
			return ok
		}
		select {
		case <-p.ready:
		case <-p.done:
			return false
		}
	}
}

func (p *port) offerBreak() (taken, ok bool) {
	p.toFront.Lock()
	defer p.toFront.Unlock()
	if p.stopped() {
		return false, false
	}
	r, knows := p.front.(BreakReceiver)
	return !knows || r.Break(), true
}

// copyInput is the run of a back end whose connection lasts: it reads the
// source until that ends or fails, at most size bytes at a time.
func (p *port) copyInput(src source, size int) {
	buf := make([]byte, size)
	for {
		n, err := src.Read(buf)
		if n > 0 && !p.deliver(buf[:n]) {
			return
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !p.stopped() {
				p.errs.report("reading input failed, there will be no more", err)
			}
			return
		}
		if p.stopped() {
			return
		}
	}
}

// Close implements Backend.
func (p *port) Close() error {
	p.closeOnce.Do(func() { p.closeErr = p.shut() })
	return p.closeErr
}

func (p *port) shut() error {
	p.toFront.Lock()
	close(p.done)
	inEnded := p.inEnded
	p.toFront.Unlock()

	var errs []error
	if inEnded != nil && p.input.interrupt() {
		if !waitFor(inEnded, time.Now().Add(stopTime)) {
			errs = append(errs, errors.New("reading input cannot be interrupted"))
		}
	}
	deadline := time.Now().Add(p.flushTime)
	errs = append(errs, p.flush(deadline))
	if p.drain != nil {
		p.drain(deadline)
	}
	if p.close != nil {
		errs = append(errs, p.close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", p.opts.Name, err)
	}
	return nil
}

// flush ends the outputs, both against the same deadline.
func (p *port) flush(deadline time.Time) error {
	var outs []*output
	for _, o := range []*output{p.main, p.tee} {
		if o != nil {
			outs = append(outs, o)
			o.finish()
		}
	}
	for _, o := range outs {
		if !waitFor(o.ended, deadline) {
			o.abort()
		}
	}
	var errs []error
	deadline = time.Now().Add(stopTime)
	for _, o := range outs {
		if !waitFor(o.ended, deadline) {
			errs = append(errs, errors.New("writing output cannot be interrupted"))
		}
		if n := o.left(); n > 0 && o.overflow == blockWhenFull {
			errs = append(errs, fmt.Errorf("the last %d bytes of output were not taken within %v", n, p.flushTime))
		}
	}
	return errors.Join(errs...)
}

// waitFor waits for ch until the deadline and reports whether it was closed.
func waitFor(ch <-chan struct{}, deadline time.Time) bool {
	select {
	case <-ch:
		return true
	default:
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-ch:
		return true
	case <-timer.C:
		return false
	}
}
