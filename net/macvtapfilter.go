package net

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterPause is the least time between two changes of an interface, since each
// takes a lock that all of the host's network configuration needs.
const filterPause = 50 * time.Millisecond

// filterFollower has a macvtap receive what its guest wants, from a goroutine of its
// own.
type filterFollower struct {
	handle *netlink.Handle
	link   netlink.Link
	log    *slog.Logger
	socket int // for ioctls

	wanted  atomic.Pointer[Filter]
	changed chan struct{}
	stopped chan struct{}
	once    sync.Once
	done    sync.WaitGroup

	// What the interface has; the goroutine's.
	mac          [6]byte
	allMulticast bool
	multicast    map[[6]byte]bool
	failed       string // the last error, which is logged once
}

// followFilter follows from now on, in the network namespace of the calling thread. The interface
// lets all multicast in.
func followFilter(h *netlink.Handle, l netlink.Link, mac [6]byte, log *slog.Logger) (*filterFollower, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	f := &filterFollower{
		handle: h, link: l, log: log, socket: socket,
		changed: make(chan struct{}, 1), stopped: make(chan struct{}),
		mac: mac, allMulticast: true, multicast: map[[6]byte]bool{},
	}
	f.done.Go(f.run)
	return f, nil
}

// set notes what is wanted now.
func (f *filterFollower) set(want Filter) {
	f.wanted.Store(&want)
	select {
	case f.changed <- struct{}{}:
	default: // it is to look already
	}
}

// stop ends the goroutine.
func (f *filterFollower) stop() {
	f.once.Do(func() {
		close(f.stopped)
		f.done.Wait()
		unix.Close(f.socket)
	})
}

func (f *filterFollower) run() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-f.stopped:
			return
		case <-f.changed:
		}
		f.report(f.apply(f.wanted.Load()))
		pause.Reset(filterPause)
		select {
		case <-f.stopped:
			return
		case <-pause.C:
		}
	}
}

// report logs an error, once as long as it stays the same.
func (f *filterFollower) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.failed {
		f.log.Warn("the host's interface does not follow the guest's filter", "interface", f.link.Attrs().Name, "error", err)
	}
	f.failed = text
}

// apply changes what is not yet as wanted. What fails is tried again at the next
// change.
func (f *filterFollower) apply(want *Filter) error {
	if f.mac != want.MAC && want.MAC != [6]byte{} && want.MAC[0]&1 == 0 {
		if err := f.handle.LinkSetHardwareAddr(f.link, want.MAC[:]); err != nil {
			return fmt.Errorf("MAC address %x: %w", want.MAC, err)
		}
		f.mac = want.MAC
	}
	list := map[[6]byte]bool{}
	if !want.AllMulticast {
		for _, a := range want.Multicast {
			list[a] = true
		}
	}
	// First what lets more in, so that nothing wanted is lost between.
	for a := range list {
		if !f.multicast[a] {
			if err := f.change(unix.SIOCADDMULTI, a); err != nil {
				return err
			}
			f.multicast[a] = true
		}
	}
	if want.AllMulticast != f.allMulticast {
		set := f.handle.LinkSetAllmulticastOff
		if want.AllMulticast {
			set = f.handle.LinkSetAllmulticastOn
		}
		if err := set(f.link); err != nil {
			return fmt.Errorf("all multicast: %w", err)
		}
		f.allMulticast = want.AllMulticast
	}
	for a := range maps.Clone(f.multicast) {
		if !list[a] {
			if err := f.change(unix.SIOCDELMULTI, a); err != nil {
				return err
			}
			delete(f.multicast, a)
		}
	}
	return nil
}

// change adds a multicast address, or takes it away (netdevice(7)).
func (f *filterFollower) change(request uintptr, a [6]byte) error {
	l, err := f.handle.LinkByIndex(f.link.Attrs().Index) // it may have another name by now
	if err != nil {
		return err
	}
	var ifreq struct {
		name   [unix.IFNAMSIZ]byte
		family uint16
		addr   [22]byte
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], l.Attrs().Name)
	ifreq.family = unix.AF_UNSPEC
	copy(ifreq.addr[:], a[:])
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(f.socket), request, uintptr(unsafe.Pointer(&ifreq))); errno != 0 {
		return fmt.Errorf("multicast address %x: %w", a, errno)
	}
	return nil
}
