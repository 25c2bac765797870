package blk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// hold makes a rule for the next request of an operation, and returns what lets
// it go.
func (r *rig) hold(op block.Op) (let func()) {
	c := make(chan struct{})
	r.faulty.Add(blocktestHold(op, c))
	return func() { close(c) }
}

// outlasts runs a method that has to wait for I/O which let ends.
func (r *rig) outlasts(method, let func()) {
	r.tb.Helper()
	var ended atomic.Bool
	early := make(chan bool, 1)
	go func() {
		method()
		early <- !ended.Load()
	}()
	// It holds the lock while it waits.
	for r.device.mu.TryLock() {
		r.device.mu.Unlock()
		nothing(r.tb, early, "return")
		runtime.Gosched()
	}
	nothing(r.tb, early, "return")
	ended.Store(true)
	let()
	if await(r.tb, early, "the method that waits for I/O") {
		r.tb.Error("the method has not waited for I/O")
	}
}

func TestOptions(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 512), false)
	defer disk.Close()
	stop := func(block.IOError) {}
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{}, "no back end"},
		{Options{Backend: disk, Queues: -1, OnError: stop}, "-1 queues"},
		{Options{Backend: disk, Queues: 257, OnError: stop}, "257 queues"},
		{Options{Backend: disk, QueueSize: 2, OnError: stop}, "queue size 2"},
		{Options{Backend: disk, QueueSize: 100, OnError: stop}, "queue size 100"},
		{Options{Backend: disk, QueueSize: 2048, OnError: stop}, "queue size 2048"},
		{Options{Backend: disk, BlockSize: 256, OnError: stop}, "block size 256"},
		{Options{Backend: disk, BlockSize: 1000, OnError: stop}, "block size 1000"},
		{Options{Backend: disk, BlockSize: 128 << 10, OnError: stop}, "block size 131072"},
		{Options{Backend: disk, ErrorPolicy: 9, OnError: stop}, "unknown error policy 9"},
		{Options{Backend: disk}, "error policy enospace needs"},
		{Options{Backend: disk, ErrorPolicy: block.PolicyStop}, "error policy stop needs"},
	} {
		if _, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v): %v; want %q", c.o, err, c.want)
		}
	}
	for _, p := range []block.ErrorPolicy{block.PolicyIgnore, block.PolicyReport} {
		d, err := New(Options{Backend: disk, ErrorPolicy: p})
		if err != nil {
			t.Errorf("policy %v: %v", p, err)
			continue
		}
		d.Close()
	}
}

func TestFeatures(t *testing.T) {
	const always = FeatureSegMax | FeatureGeometry | FeatureBlkSize | FeatureTopology | FeatureFlush | FeatureConfigWCE
	for _, c := range []struct {
		s    setup
		want virtio.Features
	}{
		{setup{}, always | FeatureDiscard | FeatureWriteZeroes},
		{setup{readOnly: true}, always | FeatureRO},
		{setup{Options: Options{Queues: 4}}, always | FeatureDiscard | FeatureWriteZeroes | FeatureMQ},
		{setup{Options: Options{Packed: true}}, always | FeatureDiscard | FeatureWriteZeroes | virtio.FeaturePackedRing},
	} {
		c.s.idle = true
		r := newRig(t, c.s)
		if got := r.device.Features(); got != c.want {
			t.Errorf("features %#x, want %#x", got, c.want)
		}
		if r.device.Type() != virtio.Block || len(r.device.QueueSizes()) != max(c.s.Queues, 1) || r.device.QueueSizes()[0] != 64 {
			t.Errorf("type %d, queues %v", r.device.Type(), r.device.QueueSizes())
		}
	}
}

// shaped is a disk that says of itself what a test wants.
type shaped struct {
	*blocktest.Memory
	topology block.Topology
}

func (s shaped) Topology() block.Topology { return s.topology }

func config(d *Device) []byte {
	c := make([]byte, configSize+4)
	d.ReadConfig(0, c)
	return c
}

func TestConfig(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 40<<20), false)
	defer disk.Close()
	shape := block.Topology{
		LogicalBlockSize: 512, PhysicalBlockSize: 4096, MinimumIO: 8192, OptimalIO: 1 << 20, DiscardGranularity: 16384,
	}
	d, err := New(Options{Backend: shaped{disk, shape}, Queues: 3, ErrorPolicy: block.PolicyReport})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want := make([]byte, configSize+4)
	le := binary.LittleEndian
	le.PutUint64(want, 81920)
	le.PutUint32(want[12:], 254)
	le.PutUint16(want[16:], 81)
	want[18], want[19] = 16, 63
	le.PutUint32(want[20:], 512)
	want[24] = 3
	le.PutUint16(want[26:], 16)
	le.PutUint32(want[28:], 2048)
	want[32] = 1
	le.PutUint16(want[34:], 3)
	le.PutUint32(want[36:], 4<<20)
	le.PutUint32(want[40:], 16)
	le.PutUint32(want[44:], 32)
	le.PutUint32(want[48:], 128<<10)
	le.PutUint32(want[52:], 16)
	want[56] = 1
	if got := config(d); !bytes.Equal(got, want) {
		t.Errorf("configuration\n%x, want\n%x", got, want)
	}
	// Parts of it, also across and beyond its end.
	for offset := range uint64(80) {
		for _, n := range []int{1, 2, 4, 8} {
			got := bytes.Repeat([]byte{0xCC}, n)
			d.ReadConfig(offset, got)
			part := append(bytes.Clone(want), make([]byte, 40)...)[offset:][:n]
			if !bytes.Equal(got, part) {
				t.Errorf("configuration at %d: %x, want %x", offset, got, part)
			}
		}
	}
	last := []byte{1}
	d.ReadConfig(1<<64-1, last)
	if last[0] != 0 {
		t.Error("the configuration wraps around")
	}
}

func TestConfigOfBigBlocks(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 1<<20), true)
	defer disk.Close()
	d, err := New(Options{Backend: disk, BlockSize: 4096, ErrorPolicy: block.PolicyReport})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := config(d)
	if n := binary.LittleEndian.Uint32(c[20:]); n != 4096 || c[24] != 0 {
		t.Errorf("block size %d, exponent %d", n, c[24])
	}
	if !bytes.Equal(c[36:], make([]byte, len(c)-36)) {
		t.Errorf("a read-only disk has limits of discard: %x", c[36:])
	}
}

func TestGeometry(t *testing.T) {
	for sectors, want := range map[uint64]uint16{0: 0, 1007: 0, 1008: 1, 16383 * 1008: 16383, 1 << 50: 16383} {
		if c, h, s := geometry(sectors); c != want || h != 16 || s != 63 {
			t.Errorf("%d sectors: %d/%d/%d", sectors, c, h, s)
		}
	}
}

func TestResize(t *testing.T) {
	r := newRig(t, setup{idle: true})
	r.disk.Resize(diskSize / 2) // before the driver comes
	r.activate(r.device.Features())
	if n := binary.LittleEndian.Uint64(config(r.device)); n != diskSize/2/512 {
		t.Errorf("%d sectors", n)
	}
	nothing(t, r.signals.changed, "configuration change")
	r.expect(typeIn, diskSize/2/512, nil, 512, statusIOErr, 0)
	r.disk.Resize(diskSize)
	await(t, r.signals.changed, "the configuration change")
	if n := binary.LittleEndian.Uint64(config(r.device)); n != diskSize/512 {
		t.Errorf("%d sectors", n)
	}
	r.expect(typeIn, diskSize/2/512, nil, 512, statusOK, 513)
	r.device.Resized() // nothing new
	nothing(t, r.signals.changed, "configuration change")
}

// TestWriteback follows the writeback field.
func TestWriteback(t *testing.T) {
	sector := make([]byte, 512)
	shown := func(r *rig) bool { return config(r.device)[configWriteback] == 1 }
	r := newRig(t, setup{})
	check := func(when string, want bool) {
		t.Helper()
		if shown(r) != want {
			t.Errorf("%s: writeback is %v", when, !want)
		}
		r.expect(typeOut, 0, sector, 0, statusOK, 1)
		if r.disk.WriteCache() != want {
			t.Errorf("%s: the host's cache is %v", when, !want)
		}
	}
	check("at first", true)
	r.device.WriteConfig(configWriteback, []byte{0})
	check("after 0", false)
	r.device.WriteConfig(configWriteback-2, []byte{9, 9, 9, 9})
	check("after 9", true)
	r.device.WriteConfig(configWriteback-1, []byte{0})
	r.device.WriteConfig(configWriteback+1, []byte{0})
	r.device.WriteConfig(0, bytes.Repeat([]byte{0}, configWriteback))
	r.device.WriteConfig(1<<64-1, []byte{0, 0})
	check("after writes beside it", true)
	r.device.WriteConfig(configWriteback, []byte{0, 0, 0, 0})
	r.device.Reset()
	if !shown(r) {
		t.Error("a reset does not bring the cache back")
	}

	for _, c := range []struct {
		without virtio.Features
		want    bool
	}{
		{FeatureConfigWCE, true},
		{FeatureFlush, false},
		{FeatureFlush | FeatureConfigWCE, false},
	} {
		r = newRig(t, setup{without: c.without})
		check("with some features", c.want)
		r.device.WriteConfig(configWriteback, []byte{1})
		check("with some features, after 1", c.want)
	}
	r = newRig(t, setup{without: FeatureConfigWCE})
	r.device.WriteConfig(configWriteback, []byte{0})
	check("without CONFIG_WCE, after 0", true)

	// A choice before DRIVER_OK holds.
	r = newRig(t, setup{idle: true})
	r.device.WriteConfig(configWriteback, []byte{0})
	r.activate(r.device.Features())
	check("chosen before DRIVER_OK", false)
}

// TestResetWaits resets a device with a read and a kept write under way.
func TestResetWaits(t *testing.T) {
	r := newRig(t, setup{})
	r.faulty.Add(blocktest.Rule{Op: block.Write, Err: unix.ENOSPC})
	let := r.hold(block.Read)
	read := r.send(typeIn, 0, nil, 512)
	r.faulty.WaitHeld(1)
	r.send(typeOut, 0, make([]byte, 512), 0)
	await(t, r.errors, "the host error")

	r.outlasts(r.device.Reset, let)
	if n := r.device.Kept(); n != 0 {
		t.Errorf("%d requests kept after the reset", n)
	}
	if _, ok := r.Used(); ok {
		t.Error("a request is answered after the reset")
	}
	// Nothing touches the memory any more.
	r.fill(read.room)
	r.device.Resume()
	r.device.Reset()
	for _, b := range read.room {
		if got := r.Bytes(b); bytes.Count(got, []byte{unwritten}) != len(got) {
			t.Error("guest memory is written after the reset")
		}
	}
	if n := r.faulty.Count(block.Write); n != 1 {
		t.Errorf("the kept write has been done %d times", n)
	}
	// The device works again.
	r.Driver = queuetest.New(t, r.mem, queuetest.Options{Size: 64})
	r.drivers[0] = r.Driver
	r.activate(r.device.Features())
	r.expect(typeIn, 0, nil, 512, statusOK, 513)
}

// TestPause stops the device with requests under way and in the ring.
func TestPause(t *testing.T) {
	r := newRig(t, setup{})
	let := r.hold(block.Read)
	first := r.send(typeIn, 0, nil, 512)
	r.faulty.WaitHeld(1)
	r.outlasts(r.device.Pause, let)
	if a := r.wait(first); a.status != statusOK {
		t.Errorf("status %d", a.status)
	}
	second := r.send(typeIn, 1, nil, 512)
	r.device.Pause()
	if _, ok := r.Used(); ok {
		t.Error("a paused device answers")
	}
	if n := r.queues[0].InFlight(); n != 0 {
		t.Errorf("a paused device has %d requests", n)
	}
	r.device.Resume()
	if a := r.wait(second); a.status != statusOK {
		t.Errorf("status %d", a.status)
	}
	r.device.Resume() // twice is as once
	r.expect(typeIn, 2, nil, 512, statusOK, 513)
}

// TestPausedActivation activates a device that is paused.
func TestPausedActivation(t *testing.T) {
	r := newRig(t, setup{idle: true})
	r.device.Pause()
	r.activate(r.device.Features())
	s := r.send(typeIn, 0, nil, 512)
	r.device.Pause()
	if n := r.queues[0].InFlight(); n != 0 {
		t.Errorf("a paused device has %d requests", n)
	}
	r.device.Resume()
	if a := r.wait(s); a.status != statusOK {
		t.Errorf("status %d", a.status)
	}
}

// TestQueues uses several queues at a time, one of which is reset and enabled
// again while another has a request under way.
func TestQueues(t *testing.T) {
	r := newRig(t, setup{Options: Options{Queues: 3}})
	on := func(i int) { r.Driver = r.drivers[i] }
	let := r.hold(block.Read)
	held := r.send(typeIn, 5, nil, 512)
	r.faulty.WaitHeld(1)
	for i := 1; i < 3; i++ {
		on(i)
		r.expect(typeIn, uint64(i), nil, 512, statusOK, 513)
	}
	r.device.ResetQueue(2)
	r.drivers[2] = queuetest.New(t, r.mem, queuetest.Options{Size: 16, MaxSize: 64, Index: 2, Base: r.drivers[2].Config().Desc})
	r.must(r.device.EnableQueue(2, r.drivers[2].Start()))
	on(2)
	r.expect(typeIn, 7, nil, 512, statusOK, 513)
	let()
	if a := r.wait(held); a.status != statusOK || !bytes.Equal(a.data, r.content(5*512, 512)) {
		t.Errorf("status %d", a.status)
	}
	if s := r.device.Stats(); s.Read.Requests != 4 {
		t.Errorf("statistics %+v", s)
	}
}

// TestUnusedQueues activates only one of several queues.
func TestUnusedQueues(t *testing.T) {
	r := newRig(t, setup{Options: Options{Queues: 2}, idle: true})
	r.queues = []*queue.Queue{nil, r.drivers[1].Start()}
	r.must(r.device.Activate(virtio.Activation{Features: r.device.Features(), Queues: r.queues, Interrupts: r.signals}))
	r.Driver = r.drivers[1]
	r.expect(typeIn, 0, nil, 512, statusOK, 513)
	r.device.Pause()
	r.device.Resume()
	r.expect(typeIn, 0, nil, 512, statusOK, 513)
}

// noQueue is a disk that gives a number of queues and then no more.
type noQueue struct {
	*blocktest.Memory
	left int
}

func (n *noQueue) NewQueue(o block.QueueOptions) (block.Queue, error) {
	if n.left--; n.left < 0 {
		return nil, unix.EMFILE
	}
	return n.Memory.NewQueue(o)
}

func TestActivationFails(t *testing.T) {
	disk := &noQueue{blocktest.NewMemory(make([]byte, diskSize), false), 1}
	defer disk.Close()
	r := newRig(t, setup{Options: Options{Backend: disk, Queues: 2}, idle: true})
	for _, d := range r.drivers {
		r.queues = append(r.queues, d.Start())
	}
	err := r.device.Activate(virtio.Activation{Features: r.device.Features(), Queues: r.queues, Interrupts: r.signals})
	if !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "queue 1") {
		t.Errorf("Activate: %v", err)
	}
	for i, q := range r.queues {
		if i == 0 && q.Wait() {
			t.Error("queue 0 still runs")
		}
	}
	r.device.Reset()
}

// TestMuchInFlight asks for more than may be in flight: the rest waits, and is
// done.
func TestMuchInFlight(t *testing.T) {
	const size = 96 << 20
	disk := blocktest.NewMemory(make([]byte, size), false)
	faulty := blocktest.NewFaulty(disk)
	defer faulty.Close()
	r := newRig(t, setup{Options: Options{Backend: faulty}, ring: queuetest.Options{Size: 64, Room: 24 << 20}})
	r.faulty, r.disk = faulty, disk
	let := make(chan struct{})
	r.faulty.Add(blocktest.Rule{Op: block.Read, Hold: let})
	// Each reads 16 MiB into the same memory.
	room := r.Writable(16 << 20)
	const n = 6
	for i := range uint64(n) {
		r.Add(r.Readable(header(typeIn, i<<15)), room, r.Writable(1))
	}
	r.Kick()
	r.faulty.WaitHeld(maxInFlight / (16 << 20))
	if n := r.queues[0].InFlight(); n != maxInFlight/(16<<20) {
		t.Errorf("%d requests are in flight", n)
	}
	close(let)
	for range n {
		if u := r.Wait(); u.Len != 16<<20+1 {
			t.Errorf("%d bytes used", u.Len)
		}
	}
}

// TestNoGoroutineLeft counts goroutines before and after.
func TestNoGoroutineLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("use", func(t *testing.T) {
		r := newRig(t, setup{Options: Options{Queues: 4}})
		for i := range 4 {
			r.Driver = r.drivers[i]
			r.expect(typeIn, 0, nil, 512, statusOK, 513)
		}
		r.faulty.Add(blocktest.Rule{Op: block.Write, Err: unix.ENOSPC})
		r.send(typeOut, 0, make([]byte, 512), 0)
		await(t, r.errors, "the host error")
	})
	// A goroutine that is done may take a moment to be gone.
	for n := 0; runtime.NumGoroutine() > before; n++ {
		if n == 1e6 {
			stacks := make([]byte, 64<<10)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

// A physical block size that was asked for takes the place of the disk's own.
func TestPhysicalBlockSize(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 1<<20), false)
	defer disk.Close()
	for size, exponent := range map[int]byte{0: 0, 512: 0, 4096: 3, 65536: 7} {
		d, err := New(Options{Backend: shaped{disk, block.Topology{PhysicalBlockSize: 512}}, PhysicalBlockSize: size, ErrorPolicy: block.PolicyReport})
		if err != nil {
			t.Fatal(err)
		}
		if got := config(d)[24]; got != exponent {
			t.Errorf("%d bytes are shown as 2^%d blocks, want 2^%d", size, got, exponent)
		}
		d.Close()
	}
	for _, bad := range []int{-1, 256, 1000, 32 << 20} {
		if _, err := New(Options{Backend: disk, PhysicalBlockSize: bad, ErrorPolicy: block.PolicyReport}); err == nil {
			t.Errorf("a physical block size of %d is taken", bad)
		}
	}
}
