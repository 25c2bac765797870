package vhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is vhost-net's character device.
const device = "/dev/vhost-net"

// Feature bits of the virtio specification that change what the kernel does
// with a ring or a header; all others are the device's alone.
const (
	featureMrgRxbuf       = 1 << 15
	featureNotifyOnEmpty  = 1 << 24
	featureIndirect       = 1 << 28
	featureEventIndex     = 1 << 29
	featureVersion1       = 1 << 32
	featureAccessPlatform = 1 << 33
	featurePackedRing     = 1 << 34
	featureInOrder        = 1 << 35
	featureNotifyData     = 1 << 38
	featureRingReset      = 1 << 40

	ringFeatures = featureMrgRxbuf | featureNotifyOnEmpty | featureIndirect | featureEventIndex |
		featureVersion1 | featureAccessPlatform | featurePackedRing | featureInOrder |
		featureNotifyData | featureRingReset

	// unusedFeatures are those this package makes no use of, whatever the
	// kernel can do: there is no IOMMU, rings are stopped together, and doorbells
	// are eventfds, which carry no data.
	unusedFeatures = featureAccessPlatform | featureRingReset | featureNotifyData

	// featureLogAll is VHOST_F_LOG_ALL, which is not a virtio feature.
	featureLogAll = 1 << 26
)

// Rings of a queue pair, as vhost-net numbers them.
const (
	ringReceive  = 0
	ringTransmit = 1
)

// Region is guest memory.
type Region struct {
	GPA  uint64 // in bytes, a multiple of 4096
	Host []byte // the memory, mapped until Stop or Close
}

// Ring is a split virtqueue that the driver has set up.
type Ring struct {
	Size uint16 // descriptors, a power of 2

	// Guest-physical addresses of the descriptor table, the available ring and
	// the used ring.
	Desc, Driver, Device uint64

	// Base is the index in the available ring to go on at, 0 at first.
	Base uint16

	// Kick is the eventfd the driver's doorbell writes, Call the one that raises
	// the ring's interrupt.
	Kick, Call int
}

// Pair is a queue pair and the tap queue it is connected to.
type Pair struct {
	Receive, Transmit Ring
	Backend           int // file descriptor, net.Queue.FD
}

// Bases are the places in the available rings where a pair was stopped.
type Bases struct {
	Receive, Transmit uint16
}

// Config is what a device and its driver have agreed on.
type Config struct {
	// Features are the negotiated virtio features. The tap's header is to be
	// of 12 bytes with VIRTIO_NET_F_MRG_RXBUF or VIRTIO_F_VERSION_1, else 10.
	Features uint64

	// Memory is all the RAM of the guest.
	Memory []Region

	// Pairs are those the driver has enabled, at most as many as were opened.
	Pairs []Pair

	// Failed is called, from a goroutine of its own and at most once, when the
	// kernel cannot go on because of what the driver put in a ring. The device then
	// needs a reset. It may call Stop only from another goroutine.
	Failed func(error)
}

// Net is vhost-net for one virtio-net device. Its methods may be called from
// any goroutine.
type Net struct {
	features uint64

	mu      sync.Mutex
	fds     []int  // one a queue pair; nil when closed
	config  Config // that runs
	running int    // pairs that have been started
	alarm   *alarm
	log     *dirtyLog
}

// ErrClosed is the answer of a Net that has been closed.
var ErrClosed = errors.New("vhost: closed")

// Open opens vhost-net for a device with the given number of queue pairs.
func Open(pairs int) (*Net, error) {
	if pairs < 1 {
		return nil, fmt.Errorf("vhost: %d queue pairs", pairs)
	}
	n := &Net{}
	for i := range pairs {
		fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			n.Close()
			return nil, openError(err)
		}
		n.fds = append(n.fds, fd)
		var features uint64
		err = ioctl(fd, setOwner, nil)
		if err == nil {
			err = ioctl(fd, getFeatures, unsafe.Pointer(&features))
		}
		if err != nil {
			n.Close()
			return nil, fmt.Errorf("vhost: %s, queue pair %d: %w", device, i, err)
		}
		n.features = features
	}
	return n, nil
}

func openError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("vhost: %s: %w; load the kernel module (modprobe vhost_net)", device, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("vhost: %s: %w; run as root, or join the group that owns the device", device, err)
	}
	return fmt.Errorf("vhost: %s: %w", device, err)
}

// Features is the kernel's own set, vhost's private bits included.
func (n *Net) Features() uint64 { return n.features }

// Filter takes from a set of virtio feature bits those that the kernel would
// have to know and does not, packed rings among them.
func (n *Net) Filter(features uint64) uint64 {
	return features &^ (ringFeatures &^ (n.features &^ unusedFeatures))
}

// Start gives the rings to the kernel. After an error, none is its own.
func (n *Net) Start(c Config) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.fds == nil:
		return ErrClosed
	case n.running > 0:
		return errors.New("vhost: is running")
	case n.log != nil:
		return errors.New("vhost: is logging; StopLog first")
	case len(c.Pairs) < 1 || len(c.Pairs) > len(n.fds):
		return fmt.Errorf("vhost: %d queue pairs are not between 1 and %d", len(c.Pairs), len(n.fds))
	case n.Filter(c.Features) != c.Features:
		return fmt.Errorf("vhost: the kernel does not know the features %#x", c.Features&^n.Filter(c.Features))
	}
	if err := checkMemory(c.Memory); err != nil {
		return err
	}
	alarm, err := newAlarm(c.Failed)
	if err != nil {
		return err
	}
	n.config, n.alarm = c, alarm
	for i := range c.Pairs {
		n.running = i + 1
		if err := n.startPair(i); err != nil {
			_, stopErr := n.stop()
			return errors.Join(fmt.Errorf("vhost: queue pair %d: %w", i, err), stopErr)
		}
	}
	return nil
}

// checkMemory refuses what memTable cannot encode.
func checkMemory(regions []Region) error {
	if len(regions) == 0 {
		return errors.New("vhost: no memory")
	}
	for _, r := range regions {
		if len(r.Host) == 0 || r.GPA+uint64(len(r.Host)) < r.GPA {
			return fmt.Errorf("vhost: a region at %#x with %d bytes", r.GPA, len(r.Host))
		}
	}
	return nil
}

// startPair gives one pair to the kernel.
func (n *Net) startPair(i int) error {
	fd, pair := n.fds[i], &n.config.Pairs[i]
	features := n.config.Features & ringFeatures
	if err := ioctl(fd, setFeatures, unsafe.Pointer(&features)); err != nil {
		return err
	}
	table := memTable(n.config.Memory)
	if err := ioctl(fd, setMemTable, unsafe.Pointer(&table[0])); err != nil {
		return err
	}
	for index, ring := range [...]*Ring{ringReceive: &pair.Receive, ringTransmit: &pair.Transmit} {
		if err := n.startRing(fd, uint32(index), ring); err != nil {
			return fmt.Errorf("ring %d: %w", index, err)
		}
	}
	for index := range uint32(2) {
		if err := setFile(fd, netSetBackend, index, pair.Backend); err != nil {
			return fmt.Errorf("ring %d: %w", index, err)
		}
	}
	return nil
}

// startRing describes a ring. It runs when it gets a back end.
func (n *Net) startRing(fd int, index uint32, r *Ring) error {
	addr, err := n.config.address(index, r)
	if err != nil {
		return err
	}
	if err := setState(fd, setVringNum, index, uint32(r.Size)); err != nil {
		return err
	}
	if err := setState(fd, setVringBase, index, uint32(r.Base)); err != nil {
		return err
	}
	if err := ioctl(fd, setVringAddr, unsafe.Pointer(&addr)); err != nil {
		return err
	}
	if err := setFile(fd, setVringErr, index, n.alarm.fd); err != nil {
		return err
	}
	if err := setFile(fd, setVringCall, index, r.Call); err != nil {
		return err
	}
	return setFile(fd, setVringKick, index, r.Kick)
}

// address finds the parts of a ring in our memory (virtio 1.2, section 2.7).
// The rings of the driver and the device end in two bytes of event index.
func (c *Config) address(index uint32, r *Ring) (vringAddr, error) {
	size := uint64(r.Size)
	if size == 0 || size&(size-1) != 0 {
		return vringAddr{}, fmt.Errorf("its size, %d, is not a power of 2", size)
	}
	a := vringAddr{index: index, log: r.Device}
	for _, part := range []struct {
		name          string
		gpa, len, div uint64
		to            *uint64
	}{
		{"descriptor table", r.Desc, 16 * size, 16, &a.desc},
		{"available ring", r.Driver, 6 + 2*size, 2, &a.avail},
		{"used ring", r.Device, 6 + 8*size, 4, &a.used},
	} {
		if part.gpa%part.div != 0 {
			return vringAddr{}, fmt.Errorf("its %s at %#x is not aligned to %d bytes", part.name, part.gpa, part.div)
		}
		host, ok := c.host(part.gpa, part.len)
		if !ok {
			return vringAddr{}, fmt.Errorf("its %s at %#x is outside of memory", part.name, part.gpa)
		}
		*part.to = host
	}
	return a, nil
}

// host is where n bytes of guest memory at gpa are in ours.
func (c *Config) host(gpa, n uint64) (uint64, bool) {
	for _, r := range c.Memory {
		offset := gpa - r.GPA
		if gpa >= r.GPA && offset < uint64(len(r.Host)) && n <= uint64(len(r.Host))-offset {
			return uint64(uintptr(unsafe.Pointer(&r.Host[offset]))), true
		}
	}
	return 0, false
}

// Stop takes the rings back and returns where to go on. When it returns, the
// kernel touches neither guest memory nor the eventfds any more. Stopping
// what does not run does nothing. The error says which ring's place could not be
// learnt; all are stopped nevertheless.
func (n *Net) Stop() ([]Bases, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stop()
}

func (n *Net) stop() ([]Bases, error) {
	if n.running == 0 {
		return nil, nil
	}
	bases := make([]Bases, n.running)
	var errs []error
	for i := range n.running {
		for index, base := range [...]*uint16{ringReceive: &bases[i].Receive, ringTransmit: &bases[i].Transmit} {
			var err error
			if *base, err = stopRing(n.fds[i], uint32(index)); err != nil {
				errs = append(errs, fmt.Errorf("vhost: queue pair %d, ring %d: %w", i, index, err))
			}
		}
	}
	n.alarm.close()
	n.running, n.alarm, n.config = 0, nil, Config{}
	return bases, errors.Join(errs...)
}

// stopRing takes the back end away, which waits for the kernel's thread, and
// then all else.
func stopRing(fd int, index uint32) (base uint16, err error) {
	err = setFile(fd, netSetBackend, index, -1)
	s := vringState{index: index}
	err = errors.Join(err, ioctl(fd, getVringBase, unsafe.Pointer(&s)))
	for _, request := range []uintptr{setVringKick, setVringCall, setVringErr} {
		err = errors.Join(err, setFile(fd, request, index, -1))
	}
	return uint16(s.num), err
}

// Close stops the rings and gives everything back. Later calls do nothing.
func (n *Net) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := n.stop()
	for _, fd := range n.fds {
		err = errors.Join(err, unix.Close(fd))
	}
	n.fds = nil
	if n.log != nil {
		err = errors.Join(err, n.log.close())
		n.log = nil
	}
	return err
}

// alarm is the eventfd the kernel writes when a ring is broken.
type alarm struct {
	fd   int
	file *os.File
	done sync.WaitGroup
}

func newAlarm(failed func(error)) (*alarm, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("vhost: eventfd: %w", err)
	}
	a := &alarm{fd: fd, file: os.NewFile(uintptr(fd), "vhost alarm")}
	a.done.Go(func() {
		var count [8]byte
		if _, err := a.file.Read(count[:]); err != nil || binary.NativeEndian.Uint64(count[:]) == 0 {
			return // closed
		}
		if failed != nil {
			failed(errors.New("vhost: the driver has put something into a ring that the kernel cannot use"))
		}
	})
	return a, nil
}

// close waits until failed is not running.
func (a *alarm) close() {
	a.file.Close()
	a.done.Wait()
}
