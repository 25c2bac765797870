package chardevs

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/parallel"
	"github.com/govmm/govmm/devices/serial"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/console"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// frontEnd is a device with a driver.
type frontEnd struct {
	name   string
	oneWay bool // output only
	// run attaches the device to a back end and drives it: it sends output, and
	// passes on input until received, which gets it, returns false. The device is
	// not used any more when it returns.
	run func(t *testing.T, b chardev.Backend, output []byte, received func([]byte) (more bool))
}

var frontEnds = []frontEnd{
	{"uart", false, runUART},
	{"virtio", false, runVirtio},
	{"parallel", true, runParallel},
}

// level is an interrupt line that wakes a driver.
type level chan struct{}

func (l level) Set(on bool) {
	if on {
		select {
		case l <- struct{}{}:
		default:
		}
	}
}

// runUART is a driver by interrupts, which sends sixteen characters at a time.
func runUART(t *testing.T, b chardev.Backend, output []byte, received func([]byte) bool) {
	host, err := clock.NewHost()
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	host.Resume()
	line := make(level, 1)
	u := serial.New(serial.Options{Name: "serial0", Line: line, Backend: b, Clock: host})
	in := func(reg uint64) byte {
		var v [1]byte
		u.Read(reg, v[:])
		return v[0]
	}
	out := func(reg uint64, v byte) { u.Write(reg, []byte{v}) }
	out(2, 0x81) // FIFOs, announced at 8 characters
	out(4, 0x0b) // DTR, RTS, OUT2
	out(1, 3)    // received and sent
	more := received(nil)
	var chunk []byte
	for more || len(output) > 0 {
		for in(2)&1 == 0 {
			chunk = chunk[:0]
			for in(5)&1 != 0 {
				chunk = append(chunk, in(0))
			}
			if len(chunk) > 0 && more {
				more = received(chunk)
			}
			if in(5)&0x20 == 0 {
				continue
			}
			n := min(16, len(output))
			for _, c := range output[:n] {
				out(0, c)
			}
			if output = output[n:]; n == 0 {
				out(1, 1)
			}
		}
		if more || len(output) > 0 {
			<-line
		}
	}
}

// notifications are those of a device that is not to have any.
type notifications struct{ t *testing.T }

func (notifications) ConfigChanged()         {}
func (n notifications) NeedsReset(why error) { n.t.Errorf("the device needs a reset: %v", why) }

// runVirtio is a driver of a device with a single port.
func runVirtio(t *testing.T, b chardev.Backend, output []byte, received func([]byte) bool) {
	const size, buffers = 4096, 16
	mem, err := memory.New(memory.Config{Size: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	d, err := console.New(console.Options{Name: "console", MaxPorts: 1, Ports: []console.Port{{Console: true, Backend: b}}})
	if err != nil {
		t.Fatal(err)
	}
	drivers := make([]*queuetest.Driver, 2)
	queues := make([]*queue.Queue, 2)
	for i := range queues {
		drivers[i] = queuetest.New(t, mem, queuetest.Options{Index: i, Size: 128, EventIndex: true, Base: uint64(i) * (4 << 20)})
		queues[i] = drivers[i].Start()
	}
	err = d.Activate(virtio.Activation{Features: virtio.FeatureVersion1, Queues: queues, Interrupts: notifications{t}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Reset()
	rx, tx := drivers[0], drivers[1]
	var sending sync.WaitGroup
	sending.Go(func() {
		buf := tx.Writable(size)
		buf.Write = false
		for rest := output; len(rest) > 0; {
			n := copy(tx.Bytes(buf), rest)
			buf.Len = uint32(n)
			tx.Do(buf)
			buf.Len = size
			rest = rest[n:]
		}
	})
	defer sending.Wait()
	posted := map[uint16]queuetest.Buffer{}
	for range buffers {
		buf := rx.Writable(size)
		posted[rx.Add(buf)] = buf
	}
	rx.Kick()
	for more := received(nil); more; {
		used := rx.Wait()
		buf := posted[used.ID]
		more = received(rx.Bytes(buf)[:used.Len])
		delete(posted, used.ID)
		posted[rx.Add(buf)] = buf
		rx.Kick()
	}
}

// runParallel is a driver by interrupts.
func runParallel(t *testing.T, b chardev.Backend, output []byte, _ func([]byte) bool) {
	line := make(level, 1)
	p := parallel.New(parallel.Options{Line: line, Backend: b})
	out := func(reg uint64, v byte) { p.Write(reg, []byte{v}) }
	out(2, 0x08) // initialise
	for _, c := range output {
		out(0, c)
		out(2, 0x1d) // selected, IRQEN, strobe
		out(2, 0x1c)
		<-line
	}
}

// errEnded is that of a peer that says no more.
var errEnded = errors.New("the peer has ended")

// readAll reads n bytes, or says how many came.
func readFull(r io.Reader, n int) ([]byte, error) {
	p := make([]byte, n)
	got, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errEnded
	}
	return p[:got], err
}
