package vhost

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/govmm/govmm/net"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	ringSize = 8
	patience = 20 * time.Second
	header   = net.HeaderSize
	features = featureMrgRxbuf | featureVersion1
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// driver is the guest's side of one ring: buffer i is at descriptor i.
type driver struct {
	t          *testing.T
	memory     []byte
	ring       Ring
	kick, call *os.File
	avail      uint16
	used       uint16
}

// Offsets of a ring's parts from its start, and the size of all of it.
const (
	offAvail  = 0x400
	offUsed   = 0x800
	offBuffer = 0x1000
	bufSize   = 0x1000
	ringBytes = offBuffer + ringSize*bufSize
)

// newDriver lays a ring out at gpa.
func newDriver(t *testing.T, memory []byte, gpa uint64) *driver {
	t.Helper()
	d := &driver{t: t, memory: memory, kick: newEventfd(t), call: newEventfd(t)}
	d.ring = Ring{
		Size: ringSize, Desc: gpa, Driver: gpa + offAvail, Device: gpa + offUsed,
		Kick: int(d.kick.Fd()), Call: int(d.call.Fd()),
	}
	return d
}

func newEventfd(t *testing.T) *os.File {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	must(t, err)
	f := os.NewFile(uintptr(fd), "eventfd")
	t.Cleanup(func() { f.Close() })
	return f
}

func (d *driver) buffer(i int) []byte {
	at := int(d.ring.Desc) + offBuffer + i*bufSize
	return d.memory[at : at+bufSize]
}

// describe fills in descriptor i, for n bytes of the buffer at address.
func (d *driver) describe(i int, address uint64, n int, flags uint16) {
	b := d.memory[int(d.ring.Desc)+16*i:]
	binary.LittleEndian.PutUint64(b, address)
	binary.LittleEndian.PutUint32(b[8:], uint32(n))
	binary.LittleEndian.PutUint16(b[12:], flags)
}

// index is the 16-bit index of a ring, with the flags before it.
func (d *driver) index(gpa uint64) *uint32 {
	return (*uint32)(unsafe.Pointer(&d.memory[gpa]))
}

// offer makes descriptor i available and rings the doorbell.
func (d *driver) offer(i int) {
	d.t.Helper()
	binary.LittleEndian.PutUint16(d.memory[int(d.ring.Driver)+4+2*int(d.avail%ringSize):], uint16(i))
	d.avail++
	atomic.StoreUint32(d.index(d.ring.Driver), uint32(d.avail)<<16)
	_, err := d.kick.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0})
	must(d.t, err)
}

// send offers a frame from buffer i.
func (d *driver) send(i int, frame []byte) {
	d.t.Helper()
	d.describe(i, d.ring.Desc+offBuffer+uint64(i)*bufSize, copy(d.buffer(i), frame), 0)
	d.offer(i)
}

// receive offers buffer i for a frame.
func (d *driver) receive(i int) {
	d.t.Helper()
	d.describe(i, d.ring.Desc+offBuffer+uint64(i)*bufSize, bufSize, 2)
	d.offer(i)
}

// wait returns the next used descriptor.
func (d *driver) wait() (i, n int) {
	d.t.Helper()
	must(d.t, d.call.SetReadDeadline(time.Now().Add(patience)))
	for uint16(atomic.LoadUint32(d.index(d.ring.Device))>>16) == d.used {
		var count [8]byte
		if _, err := d.call.Read(count[:]); err != nil {
			d.t.Fatalf("no interrupt: %v", err)
		}
	}
	e := d.memory[int(d.ring.Device)+4+8*int(d.used%ringSize):]
	d.used++
	return int(binary.LittleEndian.Uint32(e)), int(binary.LittleEndian.Uint32(e[4:]))
}

// bench is a vhost device on a tap that is bridged to another tap.
type bench struct {
	dev    *Net
	near   *net.Tap // the device's
	far    *net.Tap
	rx, tx *driver
	config Config
	failed chan error
}

func newBench(t *testing.T) *bench {
	t.Helper()
	needKernel(t)
	snooping := false // it would send queries
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}, MulticastSnooping: &snooping}
	must(t, netlink.LinkAdd(bridge))
	t.Cleanup(func() { netlink.LinkDel(bridge) })
	must(t, netlink.LinkSetUp(bridge))
	b := &bench{failed: make(chan error, 1)}
	for _, tap := range []**net.Tap{&b.near, &b.far} {
		var err error
		*tap, err = net.NewTap(net.TapOptions{Bridge: "br0"})
		must(t, err)
		t.Cleanup(func() { must(t, (*tap).Close()) })
	}
	memory, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, err)
	t.Cleanup(func() { unix.Munmap(memory) })
	b.rx, b.tx = newDriver(t, memory, 0), newDriver(t, memory, 0x10000)
	b.dev, err = Open(1)
	must(t, err)
	t.Cleanup(func() { must(t, b.dev.Close()) })
	b.config = Config{
		Features: features,
		Memory:   []Region{{0, memory[:0x80000]}, {0x80000, memory[0x80000:]}},
		Pairs:    []Pair{{Receive: b.rx.ring, Transmit: b.tx.ring, Backend: b.near.Queue(0).FD()}},
		Failed:   func(err error) { b.failed <- err },
	}
	return b
}

func frame(n int, fill byte) []byte {
	f := bytes.Repeat([]byte{fill}, header+n)
	clear(f[:header])
	copy(f[header:], "\xff\xff\xff\xff\xff\xff\x52\x54\x00\x00\x00\x01\x88\xb5")
	return f
}

// receive waits for a frame and returns its length.
func receive(t *testing.T, q net.Queue, buf []byte) int {
	t.Helper()
	late := make(chan struct{})
	timer := time.AfterFunc(patience, func() { close(late); q.Wake() })
	defer timer.Stop()
	for {
		n, _, err := q.Receive([][]byte{buf})
		if err == nil {
			return n
		}
		if !errors.Is(err, net.ErrAgain) {
			t.Fatal(err)
		}
		must(t, wait(q))
		select {
		case <-late:
			t.Fatal("no frame arrived")
		default:
		}
	}
}

// roundTrip sends a frame of the guest, and one to it, by descriptor i.
func (b *bench) roundTrip(t *testing.T, i int) {
	t.Helper()
	out := frame(200+i, byte(i))
	b.tx.send(i, out)
	buf := make([]byte, 2000)
	n := receive(t, b.far.Queue(0), buf)
	if !bytes.Equal(buf[header:n], out[header:]) {
		t.Errorf("the guest's frame of %d bytes arrived as %d bytes", len(out), n)
	}
	if used, _ := b.tx.wait(); used != i {
		t.Errorf("descriptor %d was used, not %d", used, i)
	}

	b.rx.receive(i)
	in := frame(300+i, byte(i))
	must(t, b.far.Queue(0).Send([][]byte{in}))
	var used int
	used, n = b.rx.wait()
	if used != i || n != len(in) {
		t.Fatalf("descriptor %d was used with %d bytes, not %d with %d", used, n, i, len(in))
	}
	if h, _ := net.ParseHeader(b.rx.buffer(i)); h != (net.Header{NumBuffers: 1}) || !bytes.Equal(b.rx.buffer(i)[header:n], in[header:]) {
		t.Errorf("frame of %d bytes differs, header %+v", n, h)
	}
}

// TestKernelTraffic starts, stops and goes on.
func TestKernelTraffic(t *testing.T) {
	b := newBench(t)
	if f := b.dev.Filter(features | featurePackedRing); f != features {
		t.Errorf("features %#x of the kernel's %#x", f, b.dev.Features())
	}
	for round := range 3 {
		must(t, b.dev.Start(b.config))
		if b.dev.Start(b.config) == nil {
			t.Error("it was started twice")
		}
		for i := range ringSize + 2 {
			b.roundTrip(t, i%ringSize)
		}
		bases, err := b.dev.Stop()
		must(t, err)
		want := uint16((round + 1) * (ringSize + 2))
		if len(bases) != 1 || bases[0] != (Bases{want, want}) {
			t.Fatalf("stopped at %v, want %d", bases, want)
		}
		b.config.Pairs[0].Receive.Base, b.config.Pairs[0].Transmit.Base = want, want
	}
	if bases, err := b.dev.Stop(); bases != nil || err != nil {
		t.Errorf("stopped twice: %v, %v", bases, err)
	}
	// The tap counts what the kernel moved.
	if s := b.near.Stats(); s.TxFrames != 3*(ringSize+2) || s.RxFrames < s.TxFrames {
		t.Errorf("stats %+v", s)
	}
	must(t, b.dev.Close())
	if err := b.dev.Start(b.config); !errors.Is(err, ErrClosed) {
		t.Errorf("start after Close: %v", err)
	}
	select {
	case err := <-b.failed:
		t.Errorf("it failed: %v", err)
	default:
	}
}

// TestKernelBadRing has a driver whose descriptor points outside of memory.
func TestKernelBadRing(t *testing.T) {
	b := newBench(t)
	must(t, b.dev.Start(b.config))
	b.tx.describe(0, 1<<40, 100, 0)
	b.tx.offer(0)
	select {
	case err := <-b.failed:
		if !strings.Contains(err.Error(), "driver") {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("nobody was told of a bad descriptor")
	}
	_, err := b.dev.Stop()
	must(t, err)
}

// TestKernelRefuses checks that a failed start leaves nothing running.
func TestKernelRefuses(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"packed ring", func(c *Config) { c.Features |= featurePackedRing }, "does not know the features"},
		{"no pairs", func(c *Config) { c.Pairs = nil }, "queue pairs"},
		{"too many pairs", func(c *Config) { c.Pairs = make([]Pair, 2) }, "queue pairs"},
		{"no memory", func(c *Config) { c.Memory = nil }, "no memory"},
		{"empty region", func(c *Config) { c.Memory = []Region{{GPA: 0}} }, "0 bytes"},
		{"ring outside", func(c *Config) { c.Pairs[0].Receive.Device = 1 << 30 }, "used ring at 0x40000000 is outside"},
		{"ring not aligned", func(c *Config) { c.Pairs[0].Transmit.Desc = 8 }, "not aligned"},
		{"size", func(c *Config) { c.Pairs[0].Transmit.Size = 6 }, "not a power of 2"},
		{"no tap", func(c *Config) { c.Pairs[0].Backend = c.Pairs[0].Receive.Kick }, "VHOST_NET_SET_BACKEND"},
		{"no eventfd", func(c *Config) { c.Pairs[0].Receive.Kick = c.Pairs[0].Backend }, "VHOST_SET_VRING_KICK"},
	} {
		c := b.config
		c.Pairs = []Pair{b.config.Pairs[0]}
		tt.change(&c)
		if err := b.dev.Start(c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	must(t, b.dev.Start(b.config))
	b.roundTrip(t, 0)
}

func TestKernelLog(t *testing.T) {
	b := newBench(t)
	if b.dev.StartLog() == nil {
		t.Error("a log was started without a ring")
	}
	must(t, b.dev.Start(b.config))
	b.roundTrip(t, 0)
	must(t, b.dev.StartLog())
	pages := func() map[uint64]bool {
		dirty := map[uint64]bool{}
		must(t, b.dev.DrainLog(func(gpa uint64, log []uint64) error {
			for i, w := range log {
				for bit := range 64 {
					if w>>bit&1 != 0 {
						dirty[gpa/pageSize+uint64(i*64+bit)] = true
					}
				}
			}
			return nil
		}))
		return dirty
	}
	b.roundTrip(t, 3)
	_, err := b.dev.Stop()
	must(t, err)
	// Both used rings, and the fourth receive buffer.
	got := pages()
	for _, want := range []uint64{0, 0x10, 4} {
		if !got[want] {
			t.Errorf("page %#x is not among the dirty ones %v", want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("dirty pages %v", got)
	}
	if got := pages(); len(got) != 0 {
		t.Errorf("dirty pages the second time: %v", got)
	}
	if b.dev.Start(b.config) == nil {
		t.Error("it was started with a log")
	}
	must(t, b.dev.StopLog())
	must(t, b.dev.StopLog())
}

// wait waits for a frame.
func wait(q net.Queue) error {
	_, err := q.Wait(net.ToReceive, nil)
	return err
}
