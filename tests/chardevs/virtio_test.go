package chardevs

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/console"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// Events of control messages (Virtual I/O Device specification 1.3, section
// 5.3.6.2).
const (
	deviceReady = 0
	portAdd     = 1
	portReady   = 3
	portOpen    = 6
	portName    = 7
)

// Queues of a port 0, of the control messages, and of a port 1.
const (
	receive0, transmit0 = 0, 1
	toDriver, toDevice  = 2, 3
	receive1, transmit1 = 4, 5
)

// bufferSize is how long the driver's buffers are.
const bufferSize = 4096

// virtioDriver drives a virtio console.
type virtioDriver struct {
	t      *testing.T
	g      *guest
	q      map[int]*queuetest.Driver
	done   chan struct{}
	serves sync.WaitGroup

	telling sync.Mutex // held while a control message is sent
}

// ConfigChanged and NeedsReset are the notifications of a device that is not to
// have any.
func (d *virtioDriver) ConfigChanged()       {}
func (d *virtioDriver) NeedsReset(why error) { d.t.Errorf("the device needs a reset: %v", why) }

// startConsole is a driver that knows of one port only.
func startConsole(t *testing.T, b chardev.Backend) *guest {
	d := newVirtio(t, console.Options{MaxPorts: 1, Ports: []console.Port{{Console: true, Backend: b}}}, 0, receive0, transmit0)
	d.serves.Go(func() { d.receive(d.q[receive0]) })
	d.serves.Go(func() { d.send(d.q[transmit0]) })
	return d.g
}

// channelName is what the guest finds its channel by.
const channelName = "org.example.channel"

// startChannel is a driver of several ports, one of which is there and has a name.
func startChannel(t *testing.T, b chardev.Backend) *guest {
	d := newVirtio(t, console.Options{Ports: []console.Port{{ID: 1, Name: channelName, Backend: b}}},
		console.FeatureMultiport, toDriver, toDevice, receive1, transmit1)
	named := make(chan string, 1)
	d.serves.Go(func() { d.messages(named) })
	d.tell(0, deviceReady, 1)
	if name := <-named; name != channelName {
		t.Fatalf("the port's name is %q", name)
	}
	d.tell(1, portOpen, 1)
	d.serves.Go(func() { d.receive(d.q[receive1]) })
	d.serves.Go(func() { d.send(d.q[transmit1]) })
	return d.g
}

// newVirtio starts a device, of which the driver uses some queues.
func newVirtio(t *testing.T, o console.Options, f virtio.Features, used ...int) *virtioDriver {
	t.Helper()
	mem, err := memory.New(memory.Config{Size: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	o.Name = "console"
	device, err := console.New(o)
	if err != nil {
		t.Fatal(err)
	}
	d := &virtioDriver{t: t, g: newGuest(), q: make(map[int]*queuetest.Driver), done: make(chan struct{})}
	sizes := device.QueueSizes()
	queues := make([]*queue.Queue, len(sizes))
	for n, i := range used {
		d.q[i] = queuetest.New(t, mem, queuetest.Options{Index: i, Size: sizes[i], EventIndex: true, Base: uint64(n) * (4 << 20)})
		queues[i] = d.q[i].Start()
	}
	if err := device.Activate(virtio.Activation{Features: f | virtio.FeatureVersion1, Queues: queues, Interrupts: d}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.g.stop()
		close(d.done)
		d.serves.Wait()
		device.Reset()
	})
	return d
}

// wait waits for a used buffer, by interrupt. It returns false at the end of the
// test.
func (d *virtioDriver) wait(q *queuetest.Driver) (u queuetest.Used, ok bool) {
	for {
		q.EnableInterrupts()
		if u, ok = q.Used(); ok {
			return u, true
		}
		select {
		case <-q.Line():
		case <-d.done:
			return u, false
		}
	}
}

// send sends output, a buffer at a time.
func (d *virtioDriver) send(q *queuetest.Driver) {
	buf := q.Writable(bufferSize)
	buf.Write = false
	memory := q.Bytes(buf)
	for {
		p := d.g.take(bufferSize, true)
		if p == nil {
			return
		}
		buf.Len = uint32(copy(memory, p))
		q.Add(buf)
		q.Kick()
		if _, ok := d.wait(q); !ok {
			return
		}
	}
}

// receive takes input. While the program takes none, the buffers are not given
// back to the device.
func (d *virtioDriver) receive(q *queuetest.Driver) {
	posted := make(map[uint16]queuetest.Buffer)
	for range 16 {
		buf := q.Writable(bufferSize)
		posted[q.Add(buf)] = buf
	}
	q.Kick()
	for {
		u, ok := d.wait(q)
		if !ok {
			return
		}
		buf := posted[u.ID]
		d.g.put(q.Bytes(buf)[:u.Len])
		if !d.g.mayRead() {
			return
		}
		delete(posted, u.ID)
		posted[q.Add(buf)] = buf
		q.Kick()
	}
}

// messages obeys the control messages of the device about port 1.
func (d *virtioDriver) messages(named chan<- string) {
	q := d.q[toDriver]
	posted := make(map[uint16]queuetest.Buffer)
	for range 8 {
		buf := q.Writable(64)
		posted[q.Add(buf)] = buf
	}
	q.Kick()
	for {
		u, ok := d.wait(q)
		if !ok {
			return
		}
		buf := posted[u.ID]
		m := q.Bytes(buf)[:u.Len]
		switch value := binary.LittleEndian.Uint16(m[6:]); binary.LittleEndian.Uint16(m[4:]) {
		case portAdd:
			d.tell(1, portReady, 1)
		case portName:
			named <- string(m[8:])
		case portOpen:
			d.g.carrier(value != 0)
		default:
			d.t.Errorf("an unexpected control message: %x", m)
		}
		delete(posted, u.ID)
		posted[q.Add(buf)] = buf
		q.Kick()
	}
}

// tell sends a control message.
func (d *virtioDriver) tell(id uint32, event, value uint16) {
	d.telling.Lock()
	defer d.telling.Unlock()
	q := d.q[toDevice]
	m := binary.LittleEndian.AppendUint32(nil, id)
	m = binary.LittleEndian.AppendUint16(m, event)
	m = binary.LittleEndian.AppendUint16(m, value)
	q.Add(q.Readable(m))
	q.Kick()
	d.wait(q)
}

// waitConnected waits until a guest that can sees the connection as it is.
func (f frontEnd) waitConnected(t *testing.T, g *guest, up bool) {
	t.Helper()
	if f.shows {
		await.That(t, map[bool]string{true: "a connection", false: "no connection"}[up], func() bool { return g.connected() == up })
	}
}
