package net

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/clock"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/vhost"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/tests/testhost/host"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
	"golang.org/x/sys/unix"
)

func unopened() *vhost.Net { return &vhost.Net{} }

const (
	vhostDevice = "/dev/vhost-net"
	// onTestHost tells the test program that it runs there, and inside that it
	// has a network namespace of its own.
	onTestHost = "GOVMM_VIRTIO_NET_TESTHOST"
	inside     = "GOVMM_VIRTIO_NET_NAMESPACE"
)

// TestMain runs the tests in a network namespace of their own where there are
// taps to be made.
func TestMain(m *testing.M) {
	flag.Parse()
	exit, err := 0, error(nil)
	if _, missing := os.Stat(vhostDevice); missing != nil {
		exit = m.Run()
	} else if os.Getenv(inside) == "" {
		exit, err = reexec()
	} else if err = quiet(); err == nil {
		exit = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "virtio/net:", err)
		exit = max(exit, 1)
	}
	os.Exit(exit)
}

// quiet turns IPv6 off in this namespace, so that taps send nothing by
// themselves.
func quiet() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the kernel has no IPv6
	}
	return err
}

func reexec() (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// needVhost skips a test where there is no vhost-net. TestOnTestHost runs it.
func needVhost(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(vhostDevice); err != nil {
		if os.Getenv(onTestHost) != "" {
			t.Fatalf("on the test host: %v", err)
		}
		t.Skipf("%v; TestOnTestHost runs this", err)
	}
}

// TestOnTestHost runs the tests that need vhost-net where there is one.
func TestOnTestHost(t *testing.T) {
	if _, err := os.Stat(vhostDevice); err == nil {
		t.Skipf("%s exists, so the tests it is for run here", vhostDevice)
	}
	if testing.Short() {
		t.Skip("boots a machine, which takes 10 s: not with -short")
	}
	must(t, host.Available())
	program, err := os.Executable()
	must(t, err)
	o := host.Options{
		Stdout: os.Stdout, Stderr: os.Stderr, Timeout: 5 * time.Minute,
		Env: []string{onTestHost + "=1", inside + "="},
	}
	exit, err := host.Run(context.Background(), o, program, "-test.run=^(TestVhost|TestTap)", "-test.v")
	if exit != 0 || err != nil {
		t.Errorf("exit status %d, %v", exit, err)
	}
}

// wire is a packet socket on an interface: the host's side of a tap.
type wire struct {
	t  testing.TB
	fd int
}

func newWire(t testing.TB, index int) wire {
	t.Helper()
	all := int(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: index}))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: int64(await.Patience / time.Second)}))
	return wire{t, fd}
}

func (w wire) send(frame []byte) {
	w.t.Helper()
	_, err := unix.Write(w.fd, frame)
	must(w.t, err)
}

// receive waits for exactly this frame: the kernel may send some of its own.
func (w wire) receive(frame []byte) {
	w.t.Helper()
	buf := make([]byte, 70000)
	for {
		n, err := unix.Read(w.fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			w.t.Fatalf("the frame did not arrive: %v", err)
		}
		if bytes.Equal(buf[:n], frame) {
			return
		}
	}
}

// newTap makes a tap with two pairs, and the wire to it.
func newTap(t testing.TB) (*hostnet.Tap, wire) {
	t.Helper()
	tap, err := hostnet.NewTap(hostnet.TapOptions{Queues: 2, MAC: testMAC})
	must(t, err)
	t.Cleanup(func() { must(t, tap.Close()) })
	return tap, newWire(t, tap.Index())
}

// caller is an interrupt that the kernel can raise.
type caller struct {
	queuetest.Line
	file *os.File
}

func (c caller) CallFD() (int, error) { return int(c.file.Fd()), nil }

// newCaller follows the eventfd until the test ends.
func newCaller(t testing.TB, line queuetest.Line) caller {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	must(t, err)
	c := caller{line, os.NewFile(uintptr(fd), "call")}
	done := make(chan struct{})
	ending := make(chan struct{})
	go func() {
		defer close(done)
		var count [8]byte
		for {
			if _, err := c.file.Read(count[:]); err != nil {
				return
			}
			select {
			case <-ending:
				return
			default:
				line.Interrupt()
			}
		}
	}()
	t.Cleanup(func() {
		close(ending)
		_, err := c.file.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0})
		must(t, err)
		<-done
		must(t, c.file.Close())
	})
	return c
}

// startVhost is start with queues whose interrupts the kernel can raise.
func startVhost(t testing.TB, o Options, want virtio.Features) *machine {
	t.Helper()
	m := &machine{transport: &transport{}, t: t, clock: &clock.Fake{}, mem: newMemory(t, 64<<20)}
	o.Memory, o.Clock, o.MAC = m.mem, m.clock, testMAC
	dev, err := New(o)
	must(t, err)
	m.dev = dev
	m.activateVhost(want)
	t.Cleanup(dev.Close)
	return m
}

func (m *machine) activateVhost(want virtio.Features) {
	m.t.Helper()
	m.feature = want&m.dev.Features() | virtio.FeatureVersion1
	m.queues = nil
	var queues []*queue.Queue
	for i, size := range m.dev.QueueSizes() {
		d := queuetest.New(m.t, m.mem, queuetest.Options{
			Index: i, Size: size, Base: 1<<20 + uint64(i)*(7<<20), Room: 6 << 20,
		})
		bell, err := queue.NewDoorbell()
		must(m.t, err)
		m.t.Cleanup(func() { must(m.t, bell.Close()) })
		q, err := d.Config().Start(m.mem, bell, newCaller(m.t, d.Line()))
		must(m.t, err)
		d.Attach(bell, d.Line())
		m.queues, queues = append(m.queues, d), append(queues, q)
	}
	must(m.t, m.dev.Activate(virtio.Activation{Features: m.feature, Queues: queues, Interrupts: m}))
	m.t.Cleanup(m.dev.Reset)
}

// exchange sends a frame each way by pair 0.
func (m *machine) exchange(w wire, fill byte) {
	m.t.Helper()
	posted := map[uint16][]queuetest.Buffer{}
	q := m.rx(0)
	post(q, posted, 1526)
	q.Kick()
	sent := frame(toAll, 200, fill)
	w.send(sent)
	if _, got := m.got(q, posted); !bytes.Equal(got, sent) {
		m.t.Fatalf("received %d bytes %x", len(got), got)
	}
	back := frame(toAll, 200, ^fill)
	m.tx(0).Do(m.tx(0).Readable(append(make([]byte, 12), back...)))
	w.receive(back)
}

// TestTap is the same without vhost.
func TestTap(t *testing.T) {
	needVhost(t)
	tap, w := newTap(t)
	m := start(t, Options{Backend: tap, QueuePairs: 2}, form{}, allControl|FeatureMrgRxbuf|allHost)
	m.exchange(w, 1)
	m.control(ctrlPairsSet, le16(2)...)
	m.tx(1).Do(m.tx(1).Readable(append(make([]byte, 12), frame(toAll, 60, 9)...)))
	w.receive(frame(toAll, 60, 9))
	if s := m.dev.Stats(); s.TxPackets != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestVhost(t *testing.T) {
	needVhost(t)
	tap, w := newTap(t)
	n, err := vhost.Open(2)
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	m := startVhost(t, Options{Backend: tap, QueuePairs: 2, Vhost: n, Packed: true}, allControl|FeatureMrgRxbuf|allHost)
	if m.dev.Features().Has(virtio.FeaturePackedRing) {
		t.Error("packed queues are offered, which vhost does not know")
	}
	if r := m.dev.active.Load(); r.kernel.where != inKernel {
		t.Fatalf("the queues are served at %d", r.kernel.where)
	}
	m.exchange(w, 1)
	if got := m.control(ctrlPairsSet, le16(2)...); got != ackOK {
		t.Errorf("answer %d", got)
	}
	m.tx(1).Do(m.tx(1).Readable(append(make([]byte, 12), frame(toAll, 60, 9)...)))
	w.receive(frame(toAll, 60, 9))
	m.control(ctrlPairsSet, le16(1)...)

	// With the link down the frames end here, and afterwards go on there.
	for round := range byte(3) {
		must(t, m.dev.SetLink(false))
		drops := m.dev.counters.txDropped.Load()
		await.That(t, "a frame dropped", func() bool {
			m.tx(0).Do(m.tx(0).Readable(append(make([]byte, 12), frame(toAll, 60, 10)...)))
			return m.dev.counters.txDropped.Load() > drops
		})
		must(t, m.dev.SetLink(true))
		m.exchange(w, 20+round)
	}

	m.dev.Pause()
	for _, q := range m.dev.active.Load().queues {
		if _, err := q.State(); err != nil {
			t.Error(err)
		}
	}
	m.dev.Resume()
	m.exchange(w, 30)
	if s := m.dev.Stats(); s.TxPackets < 6 || s.RxPackets < 5 {
		t.Errorf("stats %+v", s)
	}

	m.dev.Reset()
	m.activateVhost(allControl | FeatureMrgRxbuf)
	m.exchange(w, 40)
	if m.why() != nil {
		t.Errorf("needs reset: %v", m.why())
	}

	m.tx(0).Add(queuetest.Buffer{Addr: 1 << 40, Len: 100})
	m.tx(0).Kick()
	await.That(t, "the device needing a reset", func() bool { return m.why() != nil })
}

// TestVhostWithoutCall has interrupts that the kernel cannot raise.
func TestVhostWithoutCall(t *testing.T) {
	needVhost(t)
	tap, _ := newTap(t)
	n, err := vhost.Open(1)
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	mem := newMemory(t, 16<<20)
	dev, err := New(Options{Backend: tap, Vhost: n, Memory: mem, Clock: &clock.Fake{}, MAC: testMAC})
	must(t, err)
	defer dev.Close()
	var queues []*queue.Queue
	for i := range 2 {
		queues = append(queues, queuetest.New(t, mem, queuetest.Options{Index: i, Size: 8, Base: uint64(i+1) << 20, Room: 1 << 19}).Start())
	}
	err = dev.Activate(virtio.Activation{Features: virtio.FeatureVersion1, Queues: queues, Interrupts: &transport{}})
	if want := "virtio net : virtqueue 0: its interrupt cannot be raised by the kernel"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if dev.active.Load() != nil {
		t.Error("the device is active")
	}
}
