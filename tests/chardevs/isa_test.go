package chardevs

import (
	"context"
	"io"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/guestfwd"
	"github.com/govmm/govmm/devices/parallel"
	"github.com/govmm/govmm/devices/serial"
)

// level is an interrupt line that wakes a driver.
type level chan struct{}

func (l level) Set(on bool) {
	if on {
		l.wake()
	}
}

func (l level) wake() {
	select {
	case l <- struct{}{}:
	default:
	}
}

// Registers of a UART, and their bits.
const (
	data        = 0
	ier         = 1
	iir, fcr    = 2, 2
	mcr         = 4
	lsr         = 5
	msr         = 6
	dataReady   = 0x01 // of LSR
	dsr, dcd    = 0x20, 0x80
	onReceived  = 1 // of IER
	onEmpty     = 2
	onModem     = 8
	noInterrupt = 1 // of IIR
)

// uartDriver is driven by interrupts alone, and sends sixteen characters at a
// time.
type uartDriver struct {
	t *testing.T
	g *guest
	u *serial.UART
}

func startUART(t *testing.T, b chardev.Backend) *guest {
	host, err := clock.NewHost()
	if err != nil {
		t.Fatal(err)
	}
	host.Resume()
	line := make(level, 1)
	g := newGuest()
	g.wake = line.wake
	d := &uartDriver{t, g, serial.New(serial.Options{Name: "serial0", Line: line, Backend: b, Clock: host})}
	d.write(fcr, 0x81) // FIFOs, announced at 8 characters
	d.write(mcr, 0x0b) // DTR, RTS, OUT2
	d.modem()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for d.serve() {
			<-line
		}
	}()
	t.Cleanup(func() {
		g.stop()
		<-ended
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func (d *uartDriver) read(reg uint64) byte {
	var v [1]byte
	d.u.Read(reg, v[:])
	return v[0]
}

func (d *uartDriver) write(reg uint64, v byte) { d.u.Write(reg, []byte{v}) }

// serve does what there is to do, and returns false at the end of the test.
func (d *uartDriver) serve() bool {
	send, receive, end := d.g.does()
	enabled := byte(onModem)
	if send {
		enabled |= onEmpty
	}
	if receive {
		enabled |= onReceived
	}
	d.write(ier, enabled)
	for !end {
		id := d.read(iir)
		if id&noInterrupt != 0 {
			break
		}
		switch id & 0x0f {
		case 0x0:
			d.modem()
		case 0x2:
			p := d.g.take(16, false)
			for _, c := range p {
				d.write(data, c)
			}
			if len(p) == 0 {
				d.write(ier, enabled&^onEmpty)
			}
		default:
			var p [64]byte
			n := 0
			for ; n < len(p) && d.read(lsr)&dataReady != 0; n++ {
				p[n] = d.read(data)
			}
			d.g.put(p[:n])
		}
	}
	return !end
}

func (d *uartDriver) modem() {
	lines := d.read(msr) & (dsr | dcd)
	if lines != 0 && lines != dsr|dcd {
		d.t.Errorf("DSR and DCD differ: MSR has %#x of them", lines)
	}
	d.g.carrier(lines != 0)
}

// startParallel is a driver by interrupts of a printer port.
func startParallel(t *testing.T, b chardev.Backend) *guest {
	line := make(level, 1)
	p := parallel.New(parallel.Options{Line: line, Backend: b})
	out := func(reg uint64, v byte) { p.Write(reg, []byte{v}) }
	out(2, 0x08) // initialise
	g := newGuest()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			piece := g.take(4096, true)
			if piece == nil {
				return
			}
			for _, c := range piece {
				out(0, c)
				out(2, 0x1d) // selected, IRQEN, strobe
				out(2, 0x1c)
				select {
				case <-line:
				case <-done:
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		g.stop()
		close(done)
		<-ended
	})
	return g
}

// startForward is a program of the guest's with a connection to an address of its
// network. When that ends, it makes another.
func startForward(t *testing.T, b chardev.Backend) *guest {
	c := guestfwd.New(b)
	g := newGuest()
	open := func() (io.ReadWriteCloser, bool) {
		conn, err := c.Open(context.Background())
		if err != nil {
			t.Error(err)
			return nil, false
		}
		return conn, true
	}
	current, ok := open()
	if !ok {
		t.FailNow()
	}
	connection := func() io.ReadWriteCloser {
		g.mu.Lock()
		defer g.mu.Unlock()
		return current
	}
	readEnded, writeEnded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(readEnded)
		buf := make([]byte, 4096)
		for g.mayRead() {
			n, err := connection().Read(buf)
			g.put(buf[:n])
			if _, _, end := g.does(); err == nil || end {
				continue
			}
			connection().Close()
			next, ok := open()
			if !ok {
				return
			}
			g.change(func() { current = next })
		}
	}()
	go func() {
		defer close(writeEnded)
		for {
			p := g.take(4096, true)
			if p == nil {
				return
			}
			for conn := connection(); len(p) > 0; conn = connection() {
				n, err := conn.Write(p)
				p = p[n:]
				if err == nil {
					continue
				}
				g.mu.Lock()
				for current == conn && !g.stopped {
					g.changed.Wait()
				}
				stopped := g.stopped
				g.mu.Unlock()
				if stopped {
					return
				}
			}
		}
	}()
	t.Cleanup(func() {
		g.stop()
		c.Reset()
		<-readEnded
		<-writeEnded
	})
	return g
}
