package net

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/net/internal/claim"
)

// addWire makes an interface that guests can share, wire0, and a switch behind it, sw0.
func addWire(t testing.TB) (wire, port netlink.Link) {
	t.Helper()
	addBridge(t, "sw0", 1500)
	wire = addLink(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wire0"}, PeerName: "wire1"})
	port = linkOf(t, "wire1")
	must(t, netlink.LinkSetMaster(port, linkOf(t, "sw0")))
	must(t, netlink.LinkSetUp(wire))
	must(t, netlink.LinkSetUp(port))
	// The bridge hears of the port's carrier a little later.
	eventually(t, "the switch's carrier", func() bool { return linkOf(t, "sw0").Attrs().RawFlags&unix.IFF_LOWER_UP != 0 }, false)
	return wire, port
}

func newMacvtap(t testing.TB, o MacvtapOptions) *Macvtap {
	t.Helper()
	m, err := NewMacvtap(o)
	must(t, err)
	return closing(t, m)
}

// station is a MAC address of the tests.
func station(n byte) [6]byte { return [6]byte{0x52, 0x54, 0, 0, 0, n} }

// between is a frame of the tests from one address to another.
func between(from, to []byte, fill byte) []byte {
	b := frame(HeaderSize, 100, fill)
	copy(b[HeaderSize:], to)
	copy(b[HeaderSize+6:], from)
	return b
}

func TestMacvtapIsMadeAndRemoved(t *testing.T) {
	addWire(t)
	before := openFiles(t)
	m, err := NewMacvtap(MacvtapOptions{Source: "wire0", MAC: station(1), MTU: 1400, Queues: 2})
	must(t, err)
	l := linkOf(t, "macvtap0")
	if mode := l.(*netlink.Macvtap).Mode; mode != netlink.MACVLAN_MODE_VEPA {
		t.Errorf("the mode is %v, not vepa", mode)
	}
	attrs := l.Attrs()
	if m.Name() != "macvtap0" || m.Index() != attrs.Index || m.Queues() != 2 || m.Queue(0).FD() < 0 {
		t.Errorf("name %s, index %d, %d queues; the interface has index %d", m.Name(), m.Index(), m.Queues(), attrs.Index)
	}
	if got := attrs.HardwareAddr.String(); got != "52:54:00:00:00:01" {
		t.Errorf("MAC %s", got)
	}
	if attrs.MTU != 1400 || m.MTU() != 1400 {
		t.Errorf("MTU %d, reported as %d", attrs.MTU, m.MTU())
	}
	if attrs.RawFlags&unix.IFF_UP == 0 || !m.Link() {
		t.Error("it is not up")
	}
	must(t, m.SetQueues(2))
	must(t, m.SetHeaderSize(ShortHeaderSize))
	must(t, m.SetOffloads(Csum|TSO4))
	second := newMacvtap(t, MacvtapOptions{Name: "mine%d", Source: "wire0", MAC: station(2)})
	if second.Name() != "mine0" || second.MTU() != 1500 {
		t.Errorf("the second: %s, MTU %d", second.Name(), second.MTU())
	}
	must(t, second.Close())
	must(t, m.Close())
	must(t, m.Close())
	if linkOf(t, "macvtap0") != nil {
		t.Error("the interface is there after Close")
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

// listener hears what the host itself gets on an interface.
func listener(t testing.TB, l netlink.Link) (hears func() bool) {
	t.Helper()
	const etherType = 0xB588 // that of the frames, in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, etherType)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: etherType, Ifindex: l.Attrs().Index}))
	return func() bool {
		buf := make([]byte, 2000)
		for {
			_, from, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return false
			}
			if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
				return true
			}
		}
	}
}

// Whom frames reach in each mode is what docs/domain-xml.md says.
func TestMacvtapReach(t *testing.T) {
	for _, tt := range []struct {
		mode                 MacvtapMode
		hairpin              bool
		guest, host, outside bool // broadcasts of one guest
	}{
		{VEPA, false, false, false, true},
		{VEPA, true, true, true, true},
		{BridgeMode, false, true, false, true},
		{Private, false, false, false, true},
		{Private, true, false, false, true},
		{Passthrough, false, false, false, true},
	} {
		t.Run(fmt.Sprintf("%s,hairpin=%v", tt.mode, tt.hairpin), func(t *testing.T) {
			wire, port := addWire(t)
			must(t, netlink.LinkSetHairpin(port, tt.hairpin))
			a := newMacvtap(t, MacvtapOptions{Source: "wire0", Mode: tt.mode, MAC: station(1)})
			outside := newTap(t, TapOptions{Bridge: "sw0"})
			var b *Macvtap
			if tt.mode != Passthrough {
				b = newMacvtap(t, MacvtapOptions{Source: "wire0", Mode: tt.mode, MAC: station(2)})
			}
			host := listener(t, wire)
			mac := station(1)
			sent := between(mac[:], bytes.Repeat([]byte{0xFF}, 6), 7)
			must(t, a.Queue(0).Send([][]byte{sent}))
			// The frame that comes last has gone the longest way.
			if got := receive(t, outside.Queue(0), make([]byte, 2000)); tt.outside && !bytes.Equal(got[HeaderSize:], sent[HeaderSize:]) {
				t.Errorf("outside gets % x", got)
			}
			eventually(t, "what the host hears", func() bool { return host() == tt.host }, !tt.host)
			if b == nil {
				return
			}
			eventually(t, "what the other guest hears", func() bool {
				_, _, err := b.Queue(0).Receive([][]byte{make([]byte, 2000)})
				return err == nil == tt.guest
			}, !tt.guest)

			// An answer comes back from outside, and to nobody else.
			other := station(9)
			back := between(other[:], mac[:], 8)
			must(t, outside.Queue(0).Send([][]byte{back}))
			got := receive(t, a.Queue(0), make([]byte, 2000))
			if bytes.Equal(got[HeaderSize:], sent[HeaderSize:]) && tt.mode == Private && tt.hairpin {
				got = receive(t, a.Queue(0), make([]byte, 2000)) // the kernel gives its own back to it
			}
			if !bytes.Equal(got[HeaderSize:], back[HeaderSize:]) {
				t.Errorf("the guest gets % x", got)
			}
			if _, _, err := b.Queue(0).Receive([][]byte{make([]byte, 2000)}); !errors.Is(err, ErrAgain) {
				t.Errorf("the other guest gets it too (%v)", err)
			}
		})
	}
}

// eventually waits for a condition; one that shall hold from the beginning is
// looked at once more.
func eventually(t testing.TB, what string, f func() bool, stays bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if stays || time.Now().After(deadline) {
			t.Errorf("%s is not as it should be", what)
			return
		}
	}
}

// The macvtap follows the guest's address and filter.
func TestMacvtapFilter(t *testing.T) {
	addWire(t)
	m := newMacvtap(t, MacvtapOptions{Source: "wire0", Mode: BridgeMode, MAC: station(1)})
	all := func() bool { return linkOf(t, m.Name()).Attrs().RawFlags&unix.IFF_ALLMULTI != 0 }
	if !all() {
		t.Error("at first not all multicast frames come in")
	}
	group := [6]byte{0x33, 0x33, 0, 0, 0, 0xFB}
	text := "33330000" + "00fb"
	listed := func() bool {
		list, err := os.ReadFile("/proc/thread-self/net/dev_mcast")
		must(t, err)
		for line := range strings.Lines(string(list)) {
			if strings.Contains(line, m.Name()) && strings.Contains(line, text) {
				return true
			}
		}
		return false
	}
	m.SetFilter(Filter{MAC: station(5), Multicast: [][6]byte{group}})
	eventually(t, "the address", func() bool {
		return linkOf(t, m.Name()).Attrs().HardwareAddr.String() == "52:54:00:00:00:05"
	}, false)
	eventually(t, "the list", func() bool { return listed() && !all() }, false)
	m.SetFilter(Filter{MAC: [6]byte{1}, AllMulticast: true}) // a group address is not followed
	eventually(t, "the list without entries", func() bool { return !listed() && all() }, false)
	if got := linkOf(t, m.Name()).Attrs().HardwareAddr.String(); got != "52:54:00:00:00:05" {
		t.Errorf("the address is %s", got)
	}

	fixed := newMacvtap(t, MacvtapOptions{Source: "wire0", Mode: BridgeMode, MAC: station(2), FixedFilter: true})
	fixed.SetFilter(Filter{MAC: station(6)})
	if fixed.filter != nil {
		t.Error("a fixed filter follows the guest")
	}
}

// An address that is another macvtap's stays its own: the log says so, once.
func TestMacvtapAddressTaken(t *testing.T) {
	addWire(t)
	newMacvtap(t, MacvtapOptions{Source: "wire0", Mode: BridgeMode, MAC: station(1)})
	var log logged
	m := newMacvtap(t, MacvtapOptions{Source: "wire0", Mode: BridgeMode, MAC: station(2), Log: log.logger()})
	m.SetFilter(Filter{MAC: station(1), AllMulticast: true})
	eventually(t, "the log", func() bool { return strings.Contains(log.String(), "does not follow") }, false)
	if got := linkOf(t, m.Name()).Attrs().HardwareAddr.String(); got != "52:54:00:00:00:02" {
		t.Errorf("the address is %s", got)
	}
}

// In mode passthrough the interface has the guest's address, for the time.
func TestMacvtapPassthrough(t *testing.T) {
	wire, _ := addWire(t)
	own := wire.Attrs().HardwareAddr.String()
	m, err := NewMacvtap(MacvtapOptions{Source: "wire0", Mode: Passthrough, MAC: station(1)})
	must(t, err)
	if got := linkOf(t, "wire0").Attrs().HardwareAddr.String(); got != "52:54:00:00:00:01" {
		t.Errorf("the interface's address is %s", got)
	}
	must(t, m.Close())
	if got := linkOf(t, "wire0").Attrs().HardwareAddr.String(); got != own {
		t.Errorf("the interface's address is %s afterwards, not %s", got, own)
	}
}

// TestMacvtapErrors checks what is said, and that nothing is left behind.
func TestMacvtapErrors(t *testing.T) {
	wire, _ := addWire(t)
	addLink(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth7"}, PeerName: "peer7"})
	newMacvtap(t, MacvtapOptions{Source: "wire0", MAC: station(1)})
	newMacvtap(t, MacvtapOptions{Source: "veth7", MAC: station(1), Mode: Passthrough})
	before := openFiles(t)
	for _, tt := range []struct {
		o    MacvtapOptions
		want string
	}{
		{MacvtapOptions{Source: "no7", MAC: station(2)}, "there is no interface no7"},
		{MacvtapOptions{Source: "lo", MAC: station(2)}, "lo cannot be shared"},
		{MacvtapOptions{Source: "wire1", MAC: station(2)}, "wire1 is a port of a bridge"},
		{MacvtapOptions{Source: "wire0", MAC: station(1)}, "or of another macvtap on it"},
		{MacvtapOptions{Source: "wire0", MAC: [6]byte(wire.Attrs().HardwareAddr)}, "that of wire0 itself"},
		{MacvtapOptions{Source: "wire0", MAC: station(2), Mode: Passthrough}, "passthrough needs wire0 for itself"},
		{MacvtapOptions{Source: "veth7", MAC: station(2)}, "one in mode passthrough has it"},
		{MacvtapOptions{Source: "wire0", MAC: station(2), Name: "peer7"}, "an interface of this name exists already"},
		{MacvtapOptions{Source: "wire0", MAC: station(2), MTU: 1501}, "the MTU 1501 is over the 1500 of wire0"},
		{MacvtapOptions{Source: "wire0", MAC: station(2), Mode: "open"}, `the mode "open" is none of`},
		{MacvtapOptions{Source: "wire0", MAC: station(2), Name: "a/b"}, "not allowed"},
		{MacvtapOptions{Source: "wire0", MAC: [6]byte{1}}, "no MAC address of one station"},
		{MacvtapOptions{Source: "wire0"}, "no MAC address of one station"},
		{MacvtapOptions{Source: "wire0", MAC: station(2), MTU: -1}, "negative"},
		{MacvtapOptions{Source: "wire0", MAC: station(2), Queues: MaxQueues + 1}, "are over 256"},
		{MacvtapOptions{MAC: station(2)}, "no interface to share"},
	} {
		links, err := netlink.LinkList()
		must(t, err)
		m, err := NewMacvtap(tt.o)
		if err == nil {
			m.Close()
			t.Errorf("%+v was accepted", tt.o)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "net: macvtap ") {
			t.Errorf("%+v:\n got %v\nwant %s", tt.o, err, tt.want)
		}
		now, err := netlink.LinkList()
		must(t, err)
		if len(now) != len(links) {
			t.Errorf("%+v: %d interfaces before, %d after", tt.o, len(links), len(now))
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

func TestMacvtapWithoutPrivilege(t *testing.T) {
	addWire(t)
	failed := make(chan error)
	go func() {
		dropNetAdmin()
		m, err := NewMacvtap(MacvtapOptions{Source: "wire0", MAC: station(1)})
		if err == nil {
			m.Close()
		}
		failed <- err
	}()
	if err := <-failed; !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "needs CAP_NET_ADMIN") {
		t.Errorf("without privilege: %v", err)
	}
}

// What an administrator removes is lost for the guest, who sees the link go down.
func TestMacvtapDeleted(t *testing.T) {
	addWire(t)
	m := newMacvtap(t, MacvtapOptions{Source: "wire0", MAC: station(1)})
	must(t, m.SetLink(false))
	eventually(t, "the link", func() bool { return !m.Link() }, false)
	must(t, m.SetLink(true))
	eventually(t, "the link", m.Link, false)
	must(t, netlink.LinkDel(linkOf(t, m.Name())))
	if err := waitError(t, m.Queue(0)); err == nil || !strings.Contains(err.Error(), "has been deleted") {
		t.Errorf("the queue's end: %v", err)
	}
	if m.Link() {
		t.Error("the link is up")
	}
}

// TestMacvtapStats counts from the guest's side.
func TestMacvtapStats(t *testing.T) {
	addWire(t)
	m := newMacvtap(t, MacvtapOptions{Source: "wire0", MAC: station(1)})
	outside := newTap(t, TapOptions{Bridge: "sw0"})
	a, b := station(1), station(9)
	for range 3 {
		must(t, m.Queue(0).Send([][]byte{between(a[:], b[:], 1)}))
		receive(t, outside.Queue(0), make([]byte, 2000))
	}
	must(t, outside.Queue(0).Send([][]byte{between(b[:], a[:], 2)}))
	receive(t, m.Queue(0), make([]byte, 2000))
	if s := m.Stats(); s.TxFrames != 3 || s.TxBytes != 300 || s.RxFrames != 1 || s.RxBytes != 100 {
		t.Errorf("%+v", s)
	}
}

// What a killed process has left is removed, and nothing that is in use or of others.
func TestSweep(t *testing.T) {
	wire, _ := addWire(t)
	alive := newMacvtap(t, MacvtapOptions{Source: "wire0", MAC: station(1)})
	dead := func() string {
		c, err := claim.New()
		must(t, err)
		defer c.Close()
		return c.Mark()
	}
	add := func(name, alias string, n byte) {
		mac := station(n)
		l := addLink(t, &netlink.Macvtap{Macvlan: netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{
			Name: name, ParentIndex: wire.Attrs().Index, HardwareAddr: net.HardwareAddr(mac[:]),
		}, Mode: netlink.MACVLAN_MODE_VEPA}})
		if alias != "" {
			must(t, netlink.LinkSetAlias(l, alias))
		}
	}
	named := dead()
	add("left0", dead(), 2)
	add(named, "", 3) // killed before it had its name
	add("other0", "somebody's", 4)
	var log logged
	must(t, Sweep(log.logger()))
	for name, want := range map[string]bool{"left0": false, named: false, "other0": true, alive.Name(): true, "wire0": true} {
		if got := linkOf(t, name) != nil; got != want {
			t.Errorf("%s is there: %v", name, got)
		}
	}
	if !strings.Contains(log.String(), "interface=left0") {
		t.Errorf("the log has %s", log.String())
	}
}
