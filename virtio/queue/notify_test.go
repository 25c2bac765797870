package queue_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestNotifications: the driver notifies only where the device has asked for
// it.
func TestNotifications(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		send := func() bool {
			d.Add(d.Writable(1))
			return d.Publish()
		}
		answer := func() {
			q.Push(pop(t, q), 0)
			q.Flush()
			if _, ok := d.Used(); !ok {
				t.Fatal("not used")
			}
		}
		for range 20 { // around the ring
			if q.EnableNotify() {
				t.Fatal("EnableNotify: true, and nothing is available")
			}
			if !send() {
				t.Fatal("no notification of the first buffer")
			}
			if o.EventIndex && send() {
				t.Fatal("notification of the second buffer")
			} else if o.EventIndex {
				answer()
			}
			q.DisableNotify()
			if send() {
				t.Fatal("notification while disabled")
			}
			if !q.EnableNotify() {
				t.Fatal("EnableNotify: false, and buffers are available")
			}
			answer()
			answer()
			popNone(t, q)
		}
	})
}

// TestInterrupts: the device interrupts only where the driver has asked for it.
func TestInterrupts(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		answer := func() bool {
			d.Add(d.Writable(1), d.Writable(1), d.Writable(1))
			d.Publish()
			q.Push(pop(t, q), 0)
			q.Flush()
			return d.Line().Raised()
		}
		take := func() {
			if _, ok := d.Used(); !ok {
				t.Fatal("not used")
			}
		}
		for range 20 { // around the ring
			d.EnableInterrupts()
			if !answer() {
				t.Fatal("no interrupt")
			}
			q.Flush()
			if d.Line().Raised() {
				t.Fatal("an interrupt for nothing")
			}
			// With event indexes one interrupt was asked for.
			if got := answer(); got == o.EventIndex {
				t.Fatalf("interrupt for the second buffer: %v", got)
			}
			take()
			take()
			d.DisableInterrupts()
			if answer() {
				t.Fatal("interrupt while disabled")
			}
			take()
		}
	})
}

// TestInterruptForBatch: an event in the middle of what is flushed counts.
func TestInterruptForBatch(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		for range 20 {
			d.EnableInterrupts() // for the first of them
			for range 3 {
				d.Add(d.Writable(1), d.Writable(1))
			}
			d.Publish()
			for range 3 {
				q.Push(pop(t, q), 0)
			}
			if _, ok := d.Used(); ok {
				t.Fatal("the driver sees a chain before Flush")
			}
			if d.Line().Raised() {
				t.Fatal("interrupt before Flush")
			}
			q.Flush()
			if !d.Line().Raised() {
				t.Fatal("no interrupt")
			}
			for range 3 {
				if _, ok := d.Used(); !ok {
					t.Fatal("not used")
				}
			}
		}
	})
}

// TestInterruptLater: a driver may ask for an interrupt at a buffer that is yet
// to come.
func TestInterruptLater(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		if !o.EventIndex {
			return // it cannot ask for that
		}
		mem := newMemory(t)
		d := queuetest.New(t, mem, o)
		q := d.Start()
		event := d.Config().Driver + 4 + 2*uint64(o.Size)
		if o.Packed {
			event = d.Config().Driver
		}
		const third = 2
		value := uint16(third)
		if o.Packed {
			value |= 1 << 15 // in the first pass
			d.EnableInterrupts()
		}
		if err := mem.AtomicStore16(event, value); err != nil {
			t.Fatal(err)
		}
		for i := range 6 {
			d.Add(d.Writable(1))
			d.Publish()
			q.Push(pop(t, q), 0)
			q.Flush()
			if got := d.Line().Raised(); got != (i == third) {
				t.Errorf("interrupt for buffer %d: %v", i, got)
			}
		}
	})
}

// TestUsedIsNotAvailable: a packed descriptor with both flags set is a used one.
func TestUsedIsNotAvailable(t *testing.T) {
	d := queuetest.New(t, newMemory(t), queuetest.Options{Size: 8, Base: 0x10000, Packed: true})
	q := d.Start()
	d.Descriptor(d.Config().Desc, d.Writable(1), 1<<7|1<<15, 0)
	popNone(t, q)
	if q.EnableNotify() {
		t.Error("EnableNotify: true")
	}
}

// TestServe runs a driver and a device against each other, each of which sleeps
// whenever it has nothing to do: a notification that is lost stops both.
func TestServe(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		served := make(chan error)
		go func() {
			served <- queue.Serve(q, func(c *queue.Chain) error {
				v, err := c.Reader().Uint64()
				if err != nil {
					return err
				}
				if err := c.Writer().PutUint64(v + 1); err != nil {
					return err
				}
				q.Push(c, 8)
				return nil
			})
		}()

		in, out := make([]queuetest.Buffer, o.Size), make([]queuetest.Buffer, o.Size)
		for i := range in {
			in[i], out[i] = d.Readable(make([]byte, 8)), d.Writable(8)
		}
		const total = 20000
		sent, want := 0, map[uint16]int{}
		for done := 0; done < total; {
			for len(want) < 1+done%4 && sent < total {
				slot := sent % int(o.Size)
				binary.LittleEndian.PutUint64(d.Bytes(in[slot]), uint64(sent))
				id, ok := d.TryAdd(sent%3 == 0, in[slot], out[slot])
				if !ok {
					break
				}
				want[id] = sent
				sent++
				d.Kick()
			}
			u := d.Wait()
			n, ok := want[u.ID]
			if !ok {
				t.Fatalf("request %d was used twice", u.ID)
			}
			delete(want, u.ID)
			if got := binary.LittleEndian.Uint64(d.Bytes(out[n%int(o.Size)])); got != uint64(n+1) || u.Len != 8 {
				t.Fatalf("request %d: answer %d, %d bytes", n, got, u.Len)
			}
			done++
		}
		q.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// TestPushFromElsewhere completes chains on other goroutines.
func TestPushFromElsewhere(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		work := make(chan *queue.Chain, o.Size)
		for range 3 {
			go func() {
				for c := range work {
					q.Push(c, 1)
					q.Flush()
				}
			}()
		}
		served := make(chan error)
		go func() {
			served <- queue.Serve(q, func(c *queue.Chain) error {
				work <- c
				return nil
			})
		}()
		b := d.Writable(1)
		inFlight := 0
		for range 5000 {
			for inFlight < 4 {
				d.Add(b)
				inFlight++
			}
			d.Kick()
			d.Wait()
			inFlight--
		}
		for ; inFlight > 0; inFlight-- {
			d.Wait()
		}
		q.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		close(work)
	})
}

func TestServeEndsWithViolation(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		d.Add(d.Writable(1))
		d.Add(queuetest.Buffer{Addr: 1, Len: 0})
		d.Publish()
		handled := 0
		err := queue.Serve(q, func(c *queue.Chain) error {
			handled++
			return nil
		})
		if !errors.Is(err, queue.ZeroLength) {
			t.Errorf("Serve: %v", err)
		}
		if handled != 1 {
			t.Errorf("%d chains were handled, want 1", handled)
		}
	})
}

func TestServeEndsWithHandler(t *testing.T) {
	d := queuetest.New(t, newMemory(t), queuetest.Options{Size: 8, Base: 0x10000})
	q := d.Start()
	d.Add(d.Writable(1))
	d.Publish()
	broken := errors.New("broken")
	err := queue.Serve(q, func(c *queue.Chain) error {
		q.Push(c, 1)
		return broken
	})
	if err != broken {
		t.Errorf("Serve: %v", err)
	}
	if _, ok := d.Used(); !ok {
		t.Error("what was pushed did not reach the driver")
	}
}

// TestServeEndsWithDoorbell: a closed doorbell ends Serve, as Pause does.
func TestServeEndsWithDoorbell(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		for _, end := range []func(){q.Pause, func() { q.Resume(); q.Doorbell().Close() }} {
			served := make(chan error)
			go func() {
				served <- queue.Serve(q, func(*queue.Chain) error { return nil })
			}()
			end()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	})
}
