package net

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DefaultTapName is the pattern for the names of taps; %d becomes the lowest
// number that is free.
const DefaultTapName = "vnet%d"

// maxNameLen is the longest interface name in bytes (IFNAMSIZ without its NUL).
const maxNameLen = unix.IFNAMSIZ - 1

// TapOptions describe a tap.
type TapOptions struct {
	// Name of the interface, at most 15 bytes, or a pattern with one %d. ""
	// means DefaultTapName.
	Name string

	// Existing takes the persistent interface called Name instead of making one. It
	// needs no privilege if this user owns the interface and the options below
	// change nothing. What they do change is put back by Close.
	Existing bool

	// Queues is the number of queue pairs, 1 to MaxQueues; 0 means 1.
	Queues int

	// MAC is the guest's address. The interface gets it with a first octet of
	// fe: other than the guest's, and so high that a bridge, which takes the lowest
	// address among its ports, never changes its own because of a guest. All
	// zeros leave the address to the kernel.
	MAC [6]byte

	// MTU in bytes. 0 means the bridge's, else 1500 for a new interface.
	MTU int

	// Bridge to attach the interface to. "" means none.
	Bridge string

	Log *slog.Logger // nil discards
}

// NewTap makes a tap interface in the network namespace of the calling thread,
// or opens one that exists, attaches it to the bridge and brings it up. After
// an error everything is as it was before.
func NewTap(o TapOptions) (*Tap, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	// Netlink sockets belong to the thread's network namespace.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h, err := newHostInterface("tap "+o.Name, o.Log)
	if err != nil {
		return nil, err
	}
	t := &Tap{hostInterface: h}
	if err := t.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("net: tap %s: %w", o.Name, err), t.Close())
	}
	return t, nil
}

// complete fills in the defaults and says what is wrong.
func (o *TapOptions) complete() error {
	if o.Name == "" && !o.Existing {
		o.Name = DefaultTapName
	}
	if o.Queues == 0 {
		o.Queues = 1
	}
	if err := checkName(o.Name, !o.Existing); err != nil {
		return fmt.Errorf("net: tap name %q: %w", o.Name, err)
	}
	if o.Queues < 1 || o.Queues > MaxQueues {
		return fmt.Errorf("net: tap %s: %d queue pairs are not between 1 and %d", o.Name, o.Queues, MaxQueues)
	}
	if o.MTU < 0 {
		return fmt.Errorf("net: tap %s: MTU %d is negative", o.Name, o.MTU)
	}
	if o.MAC[0]&1 != 0 {
		return fmt.Errorf("net: tap %s: the MAC address % x is a group address", o.Name, o.MAC)
	}
	return nil
}

// checkName says why the kernel would not have a name (dev_valid_name), or
// would make something unexpected of it.
func checkName(name string, pattern bool) error {
	plain := name
	if pattern {
		plain = strings.Replace(name, "%d", "0", 1)
	}
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > maxNameLen:
		return fmt.Errorf("is longer than %d bytes", maxNameLen)
	case name == "." || name == "..":
		return errors.New("is not allowed")
	case slices.ContainsFunc([]byte(plain), forbidden):
		return errors.New("has a character that is not allowed in interface names")
	case strings.Contains(plain, "%"):
		return errors.New("has a % that is not the only %d")
	}
	return nil
}

// forbidden tells the bytes that no interface name has: / and :, the end of a
// string, and what the kernel takes for space (in Latin-1).
func forbidden(c byte) bool {
	return strings.IndexByte("/: \t\n\v\f\r\x00\xa0", c) >= 0
}

// open does the work of NewTap. What it has done when it fails, Close undoes.
func (t *Tap) open(o TapOptions) error {
	if o.Existing {
		l, err := t.handle.LinkByName(o.Name)
		switch {
		case isNotFound(err):
			return errors.New("there is no such interface; make it (ip tuntap add NAME mode tap user USER)")
		case err != nil:
			return fmt.Errorf("look up: %w", err)
		}
		switch tap, ok := l.(*netlink.Tuntap); {
		case !ok:
			return fmt.Errorf("is a %s, not a tap", l.Type())
		case tap.Mode != netlink.TUNTAP_MODE_TAP:
			return errors.New("is a tun, which carries no Ethernet frames, not a tap")
		}
	}
	if err := t.attach(o); err != nil {
		return err
	}
	l, err := t.handle.LinkByName(t.ifname)
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	t.note(l.Attrs())
	if err := t.configure(o, l); err != nil {
		return err
	}
	return t.connect()
}

// attach opens the queues, and leaves all but the first detached.
func (t *Tap) attach(o TapOptions) error {
	flags := uint16(0)
	if !o.Existing {
		flags |= unix.IFF_TUN_EXCL
	}
	if o.Queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	fd, name, err := openTun(o.Name, flags)
	if errors.Is(err, unix.EINVAL) && o.Existing {
		// It was made with the other kind of queues. One queue is possible
		// with both.
		if o.Queues > 1 {
			return fmt.Errorf("has one queue, and %d are wanted; make it with multi_queue", o.Queues)
		}
		fd, name, err = openTun(o.Name, flags|unix.IFF_MULTI_QUEUE)
	}
	if err != nil {
		return o.attachError(err)
	}
	t.ifname = name
	t.name = "tap " + name
	if err := tunSetHeaderSize(fd, HeaderSize); err != nil {
		unix.Close(fd)
		return fmt.Errorf("set the header size: %w", err)
	}
	if t.offloads, err = tunOffloads(fd); err != nil {
		unix.Close(fd)
		return fmt.Errorf("turn offloads off: %w", err)
	}
	if err := t.adopt(fd); err != nil {
		return err
	}
	for i := 1; i < o.Queues; i++ {
		fd, _, err := openTun(name, flags&^unix.IFF_TUN_EXCL)
		if err != nil {
			return fmt.Errorf("queue pair %d: %w", i, err)
		}
		if err := t.adopt(fd); err != nil {
			return err
		}
		if err := tunIfreq(fd, unix.TUNSETQUEUE, unix.IFF_DETACH_QUEUE); err != nil {
			return fmt.Errorf("queue pair %d: detach: %w", i, err)
		}
	}
	return nil
}

func (o *TapOptions) attachError(err error) error {
	switch {
	case errors.Is(err, unix.EPERM) && o.Existing:
		return fmt.Errorf("%w: it belongs to another user and CAP_NET_ADMIN is missing; run as root, or make it with user USER", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: to make an interface needs CAP_NET_ADMIN; run as root, or have an administrator make it (ip tuntap add NAME mode tap user USER) and use that one", err)
	case errors.Is(err, unix.EBUSY) && o.Existing:
		return fmt.Errorf("%w: another program has it open", err)
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return fmt.Errorf("%w: an interface of this name exists already", err)
	case errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w: all numbers of the pattern are taken", err)
	}
	return err
}

// configure sets what the options ask for and is not so already.
func (t *Tap) configure(o TapOptions, l netlink.Link) error {
	attrs := l.Attrs()
	set := func(what string, change, back func() error) error {
		if err := change(); err != nil {
			if errors.Is(err, unix.EPERM) {
				err = fmt.Errorf("%w: needs CAP_NET_ADMIN; run as root, or have an administrator do it", err)
			}
			return fmt.Errorf("%s: %w", what, err)
		}
		if o.Existing {
			t.undo.add(func() error {
				if err := back(); err != nil && !isNotFound(err) {
					return fmt.Errorf("undo %s: %w", what, err)
				}
				return nil
			})
		}
		return nil
	}
	var bridge *netlink.Bridge
	if o.Bridge != "" {
		var err error
		if bridge, err = t.bridge(o.Bridge); err != nil {
			return err
		}
		if o.MTU == 0 {
			o.MTU = bridge.MTU
		}
	}
	if mac := slices.Clone(o.MAC[:]); o.MAC != [6]byte{} {
		mac[0] = 0xfe
		if !slices.Equal(mac, attrs.HardwareAddr) {
			old := attrs.HardwareAddr
			err := set("set the MAC address",
				func() error { return t.handle.LinkSetHardwareAddr(l, mac) },
				func() error { return t.handle.LinkSetHardwareAddr(l, old) })
			if err != nil {
				return err
			}
		}
	}
	if o.MTU != 0 && o.MTU != attrs.MTU {
		err := set(fmt.Sprintf("set the MTU to %d", o.MTU),
			func() error { return t.handle.LinkSetMTU(l, o.MTU) },
			func() error { return t.handle.LinkSetMTU(l, attrs.MTU) })
		if err != nil {
			return err
		}
		t.mtu.Store(int32(o.MTU))
	}
	if bridge != nil && attrs.MasterIndex != bridge.Index {
		err := set("attach to bridge "+o.Bridge,
			func() error { return t.handle.LinkSetMaster(l, bridge) },
			func() error { return t.handle.LinkSetMasterByIndex(l, attrs.MasterIndex) })
		if err != nil {
			return err
		}
	}
	if attrs.RawFlags&unix.IFF_UP == 0 {
		return set("bring up",
			func() error { return t.handle.LinkSetUp(l) },
			func() error { return t.handle.LinkSetDown(l) })
	}
	return nil
}

// bridge looks up a bridge.
func (t *Tap) bridge(name string) (*netlink.Bridge, error) {
	l, err := t.handle.LinkByName(name)
	switch {
	case isNotFound(err):
		return nil, fmt.Errorf("there is no bridge %s; make it (ip link add %s type bridge)", name, name)
	case err != nil:
		return nil, fmt.Errorf("look up bridge %s: %w", name, err)
	}
	b, ok := l.(*netlink.Bridge)
	if !ok {
		return nil, fmt.Errorf("%s is a %s, not a bridge", name, l.Type())
	}
	return b, nil
}
