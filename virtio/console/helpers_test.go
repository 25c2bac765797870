package console

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func newMemory(t testing.TB, size uint64) *memory.Memory {
	t.Helper()
	mem, err := memory.New(memory.Config{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	return mem
}

// host is a back end in the test's hands.
type host struct {
	mu      sync.Mutex
	front   chardev.Receiver
	up      bool // carrier at Attach
	out     []byte
	sent    int // bytes of output
	room    int // output still accepted
	discard bool
	in      []byte // waits for the port to take it
	ready   chan struct{}
	done    chan struct{}
	readies int
}

// newHost is a back end that takes everything.
func newHost(t testing.TB, up bool) *host {
	h := &host{up: up, room: 1 << 40, ready: make(chan struct{}, 1), done: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-h.ready:
				h.offer()
			case <-h.done:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(h.done)
		<-ended
	})
	return h
}

// offer gives the port what waits for it.
func (h *host) offer() {
	h.mu.Lock()
	in := h.in
	h.mu.Unlock()
	if len(in) == 0 {
		return
	}
	n := h.front.Receive(in)
	h.mu.Lock()
	h.in = h.in[n:]
	h.mu.Unlock()
}

// send is input for the guest. It is offered from the host's goroutine.
func (h *host) send(data string) {
	h.mu.Lock()
	h.in = append(h.in, data...)
	h.mu.Unlock()
	h.wake()
}

func (h *host) wake() {
	select {
	case h.ready <- struct{}{}:
	default:
	}
}

func (h *host) Attach(r chardev.Receiver) {
	h.front = r
	r.(chardev.CarrierReceiver).Carrier(h.up)
}

func (h *host) Write(p []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(p), h.room)
	h.room -= n
	h.sent += n
	if !h.discard {
		h.out = append(h.out, p[:n]...)
	}
	return n
}

func (h *host) Ready() {
	h.mu.Lock()
	h.readies++
	h.mu.Unlock()
	h.wake()
}

func (h *host) Stats() chardev.Stats { return chardev.Stats{} }
func (h *host) Close() error         { return nil }

func (h *host) carrier(up bool) { h.front.(chardev.CarrierReceiver).Carrier(up) }

// allow makes room for n bytes of output.
func (h *host) allow(n int) {
	h.mu.Lock()
	h.room += n
	h.mu.Unlock()
	h.front.(chardev.OutputReceiver).OutputReady()
}

func (h *host) output() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.out)
}

// left is how much input the port has not taken.
func (h *host) left() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.in)
}

func (h *host) waitOutput(t testing.TB, want string) {
	t.Helper()
	await.That(t, "output "+want, func() bool { return h.output() == want })
}

// guest is the machine around a device, and its driver.
type guest struct {
	t      testing.TB
	dev    *Device
	mem    *memory.Memory
	form   queuetest.Options
	q      []*queuetest.Driver // by index, nil where not set up
	queues []*queue.Queue
	posted map[uint16]queuetest.Buffer // of the control receive queue

	mu     sync.Mutex
	config int
	broken error
	opened []string // as GuestOpen was told
}

func (g *guest) ConfigChanged() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.config++
}

func (g *guest) NeedsReset(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken == nil {
		g.broken = why
	}
}

func (g *guest) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

func (g *guest) configChanges() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.config
}

// newGuest makes a device, which does not run.
func newGuest(t testing.TB, form queuetest.Options, o Options) *guest {
	t.Helper()
	g := &guest{t: t, form: form, mem: newMemory(t, 64<<20)}
	o.Name = "console"
	o.GuestOpen = func(port uint32, open bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.opened = append(g.opened, map[bool]string{true: "open", false: "close"}[open]+string(rune('0'+port)))
	}
	dev, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.dev = dev
	t.Cleanup(dev.Reset)
	return g
}

// activate starts the device with the queues of the given ports, and those of
// the control messages if these are wanted.
func (g *guest) activate(f virtio.Features, ports ...uint32) {
	g.t.Helper()
	sizes := g.dev.QueueSizes()
	g.q, g.queues = make([]*queuetest.Driver, len(sizes)), make([]*queue.Queue, len(sizes))
	var wanted []int
	for _, id := range ports {
		rx, tx := queues(id)
		wanted = append(wanted, rx, tx)
	}
	if f.Has(FeatureMultiport) {
		wanted = append(wanted, controlReceive, controlTransmit)
	}
	for n, i := range wanted {
		o := g.form
		o.Index, o.Size, o.Room = i, sizes[i], 3<<20
		o.Base = uint64(n) * (4 << 20)
		g.q[i] = queuetest.New(g.t, g.mem, o)
		g.queues[i] = g.q[i].Start()
	}
	err := g.dev.Activate(virtio.Activation{Features: f, Queues: g.queues, Interrupts: g})
	if err != nil {
		g.t.Fatal(err)
	}
}

// postControl gives the device n buffers for control messages.
func (g *guest) postControl(n int) {
	g.t.Helper()
	if g.posted == nil {
		g.posted = map[uint16]queuetest.Buffer{}
	}
	for range n {
		b := g.q[controlReceive].Writable(272)
		g.posted[g.q[controlReceive].Add(b)] = b
	}
	g.q[controlReceive].Kick()
}

// control sends a message to the device, which has handled it afterwards.
func (g *guest) control(id uint32, event, value uint16) {
	g.t.Helper()
	g.q[controlTransmit].Do(g.q[controlTransmit].Readable(message(id, event, value)))
}

func message(id uint32, event, value uint16, rest ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, id)
	b = binary.LittleEndian.AppendUint16(b, event)
	b = binary.LittleEndian.AppendUint16(b, value)
	return append(b, rest...)
}

// expect checks the next messages of the device, and gives the buffers back.
func (g *guest) expect(want ...[]byte) {
	g.t.Helper()
	q := g.q[controlReceive]
	for _, w := range want {
		u := q.Wait()
		b := g.posted[u.ID]
		delete(g.posted, u.ID)
		if got := string(q.Bytes(b)[:u.Len]); got != string(w) {
			g.t.Fatalf("control message %q, want %q", got, w)
		}
		g.posted[q.Add(b)] = b
		q.Kick()
	}
}

// expectNoMessage checks that none has come. It is for after a control.
func (g *guest) expectNoMessage() {
	g.t.Helper()
	if u, ok := g.q[controlReceive].Used(); ok {
		b := g.posted[u.ID]
		g.t.Fatalf("control message %q, want none", g.q[controlReceive].Bytes(b)[:u.Len])
	}
}

// open brings up port id of a multiport device, which has no other, no name and
// a host that is there, and opens it.
func (g *guest) open(id uint32) {
	g.t.Helper()
	g.postControl(4)
	g.control(0, eventDeviceReady, 1)
	g.expect(message(id, eventPortAdd, 1))
	g.control(id, eventPortReady, 1)
	g.expect(message(id, eventPortOpen, 1))
	g.control(id, eventPortOpen, 1)
}

// write is output of the guest on a port.
func (g *guest) write(id uint32, data string) uint16 {
	g.t.Helper()
	_, tx := queues(id)
	n := g.q[tx].Add(g.q[tx].Readable([]byte(data)))
	g.q[tx].Kick()
	return n
}

// post gives a port a buffer for input.
func (g *guest) post(id, size uint32) queuetest.Buffer {
	g.t.Helper()
	rx, _ := queues(id)
	b := g.q[rx].Writable(size)
	g.q[rx].Add(b)
	g.q[rx].Kick()
	return b
}

// expectInput checks what came into the buffers, which were posted in this order.
func (g *guest) expectInput(id uint32, bufs []queuetest.Buffer, want ...string) {
	g.t.Helper()
	rx, _ := queues(id)
	for i, w := range want {
		u := g.q[rx].Wait()
		if got := string(g.q[rx].Bytes(bufs[i])[:u.Len]); got != w {
			g.t.Fatalf("input %q, want %q", got, w)
		}
	}
}

// forms are the kinds of queue that a driver may negotiate.
var forms = map[string]queuetest.Options{
	"split":            {},
	"split, events":    {EventIndex: true},
	"packed":           {Packed: true},
	"packed, events":   {Packed: true, EventIndex: true},
	"packed, in order": {Packed: true, EventIndex: true, InOrder: true},
	"split, in order":  {InOrder: true},
}

const multiport = FeatureMultiport | FeatureSize | virtio.FeatureVersion1
