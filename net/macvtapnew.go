package net

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/net/internal/claim"
)

// DefaultMacvtapName is the pattern for the names of macvtaps; %d becomes the
// lowest number that is free.
const DefaultMacvtapName = "macvtap%d"

// macvtapModes are the kernel's numbers of the modes.
var macvtapModes = map[MacvtapMode]netlink.MacvlanMode{
	VEPA:        netlink.MACVLAN_MODE_VEPA,
	BridgeMode:  netlink.MACVLAN_MODE_BRIDGE,
	Private:     netlink.MACVLAN_MODE_PRIVATE,
	Passthrough: netlink.MACVLAN_MODE_PASSTHRU,
}

// MacvtapOptions describe a macvtap.
type MacvtapOptions struct {
	// Name of the interface, at most 15 bytes, or a pattern with one %d. ""
	// means DefaultMacvtapName.
	Name string

	// Source is the interface of the host that the guest shares. It is needed.
	Source string

	// Mode says whom the guest can reach. "" means VEPA.
	Mode MacvtapMode

	// MAC is the guest's address, and the interface's. It is needed.
	MAC [6]byte

	// Queues is the number of queue pairs, 1 to MaxQueues; 0 means 1.
	Queues int

	// MTU in bytes, up to the source's. 0 means the source's.
	MTU int

	// FixedFilter has the interface take all multicast frames and keep its address,
	// whatever the guest sets.
	FixedFilter bool

	Log *slog.Logger // nil discards
}

// NewMacvtap makes a macvtap on an interface of the network namespace of the calling
// thread, and brings it up. After an error everything is as it was before.
func NewMacvtap(o MacvtapOptions) (*Macvtap, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	// Netlink sockets, and names of abstract ones, belong to the thread's namespace.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h, err := newHostInterface("macvtap "+o.Name, o.Log)
	if err != nil {
		return nil, err
	}
	m := &Macvtap{hostInterface: h}
	if err := m.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("net: macvtap %s on %s: %w", o.Name, o.Source, err), m.Close())
	}
	return m, nil
}

// complete fills in the defaults and says what is wrong.
func (o *MacvtapOptions) complete() error {
	if o.Name == "" {
		o.Name = DefaultMacvtapName
	}
	if o.Mode == "" {
		o.Mode = VEPA
	}
	o.Queues = max(o.Queues, 1)
	if err := checkName(o.Name, true); err != nil {
		return fmt.Errorf("net: macvtap name %q: %w", o.Name, err)
	}
	switch _, known := macvtapModes[o.Mode]; {
	case o.Source == "":
		return fmt.Errorf("net: macvtap %s: no interface to share", o.Name)
	case !known:
		return fmt.Errorf("net: macvtap %s: the mode %q is none of vepa, bridge, private and passthrough", o.Name, o.Mode)
	case o.Queues > MaxQueues:
		return fmt.Errorf("net: macvtap %s: %d queue pairs are over %d", o.Name, o.Queues, MaxQueues)
	case o.MTU < 0:
		return fmt.Errorf("net: macvtap %s: MTU %d is negative", o.Name, o.MTU)
	case o.MAC == [6]byte{} || o.MAC[0]&1 != 0:
		return fmt.Errorf("net: macvtap %s: % x is no MAC address of one station", o.Name, o.MAC)
	}
	return nil
}

// open does the work of NewMacvtap. What it has done when it fails, Close undoes.
//
// The interface is made under a name that nobody else has, by which its device is
// found whatever namespace the files in /sys are of, and by which a later process
// knows it should this one be killed.
func (m *Macvtap) open(o MacvtapOptions) error {
	source, err := m.source(o)
	if err != nil {
		return err
	}
	if m.claim, err = claim.New(); err != nil {
		return err
	}
	m.undo.add(m.claim.Close)
	mark := m.claim.Mark()
	link, err := m.make(o, source, mark)
	if err != nil {
		return err
	}
	if err := m.handle.LinkSetAlias(link, mark); err != nil {
		return fmt.Errorf("set the alias: %w", err)
	}
	if err := m.openQueues(mark, link.Attrs().Index, o.Queues); err != nil {
		return err
	}
	if err := m.handle.LinkSetName(link, o.Name); err != nil {
		if errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%w: an interface of this name exists already", err)
		}
		return fmt.Errorf("name the interface: %w", err)
	}
	if o.Mode == Passthrough { // it has got the source's address so far
		if err := m.handle.LinkSetHardwareAddr(link, o.MAC[:]); err != nil {
			return fmt.Errorf("set the MAC address of %s: %w", o.Source, err)
		}
	}
	if err := m.handle.LinkSetAllmulticastOn(link); err != nil {
		return fmt.Errorf("let all multicast in: %w", err)
	}
	if err := m.handle.LinkSetUp(link); err != nil {
		if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%w: the MAC address %x is that of %s itself, or of another macvtap on it", err, o.MAC, o.Source)
		}
		return fmt.Errorf("bring up: %w", err)
	}
	if link, err = m.handle.LinkByIndex(link.Attrs().Index); err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	m.ifname = link.Attrs().Name
	m.name = "macvtap " + m.ifname
	m.note(link.Attrs())
	if !o.FixedFilter {
		if m.filter, err = followFilter(m.handle, link, o.MAC, m.log); err != nil {
			return err
		}
	}
	return m.connect()
}

// source looks up the interface that is shared.
func (m *Macvtap) source(o MacvtapOptions) (netlink.Link, error) {
	l, err := m.handle.LinkByName(o.Source)
	switch {
	case isNotFound(err):
		return nil, fmt.Errorf("there is no interface %s", o.Source)
	case err != nil:
		return nil, fmt.Errorf("look up %s: %w", o.Source, err)
	}
	attrs := l.Attrs()
	if o.MTU > attrs.MTU {
		return nil, fmt.Errorf("the MTU %d is over the %d of %s", o.MTU, attrs.MTU, o.Source)
	}
	if attrs.RawFlags&unix.IFF_UP == 0 {
		m.log.Warn("the interface that the guest shares is down", "interface", o.Source)
	}
	return l, nil
}

// make makes the interface.
func (m *Macvtap) make(o MacvtapOptions, source netlink.Link, name string) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr, attrs.MTU = name, source.Attrs().Index, o.MAC[:], o.MTU
	if o.MTU == 0 {
		attrs.MTU = source.Attrs().MTU
	}
	link := &netlink.Macvtap{Macvlan: netlink.Macvlan{LinkAttrs: attrs, Mode: macvtapModes[o.Mode]}}
	if err := m.handle.LinkAdd(link); err != nil {
		return nil, m.makeError(o, source, err)
	}
	m.undo.add(func() error {
		if err := m.handle.LinkDel(link); err != nil && !isNotFound(err) {
			return fmt.Errorf("remove %s: %w", m.name, err)
		}
		return nil
	})
	made, err := m.handle.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("look up: %w", err)
	}
	link.Index = made.Attrs().Index
	return made, nil
}

// makeError says what the kernel means.
func (m *Macvtap) makeError(o MacvtapOptions, source netlink.Link, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: to make an interface needs CAP_NET_ADMIN; run as root", err)
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w: the kernel has no macvtap; load its module (modprobe macvtap)", err)
	case errors.Is(err, unix.EBUSY) && source.Attrs().MasterIndex != 0:
		return fmt.Errorf(`%w: %s is a port of a bridge or bond; share that one, or use <interface type="bridge">`, err, o.Source)
	case errors.Is(err, unix.EINVAL) && o.Mode == Passthrough:
		return fmt.Errorf("%w: passthrough needs %s for itself, and there is another macvtap or macvlan on it", err, o.Source)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: %s cannot be shared: it carries no Ethernet frames, or one in mode passthrough has it", err, o.Source)
	}
	return fmt.Errorf("make: %w", err)
}

// openQueues opens the device once for each queue, and leaves all but the first
// detached.
func (m *Macvtap) openQueues(name string, index, count int) error {
	device, err := findTapDevice(name, index)
	if err != nil {
		return err
	}
	for i := range count {
		fd, err := device.open()
		if err != nil {
			return fmt.Errorf("queue pair %d: %w", i, err)
		}
		if err := m.setUp(fd, i, count); err != nil {
			return fmt.Errorf("queue pair %d: %w", i, err)
		}
	}
	return nil
}

// setUp makes a queue of a descriptor.
func (m *Macvtap) setUp(fd, i, count int) error {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if count > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	err := tunIfreq(fd, unix.TUNSETIFF, flags)
	if err == nil {
		err = tunSetHeaderSize(fd, HeaderSize)
	}
	if err == nil && i == 0 {
		m.offloads, err = tunOffloads(fd)
	}
	if err == nil && i > 0 {
		err = tunIfreq(fd, unix.TUNSETQUEUE, unix.IFF_DETACH_QUEUE)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	return m.adopt(fd)
}
