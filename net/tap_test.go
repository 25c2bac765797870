package net

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func newTap(t testing.TB, o TapOptions) *Tap {
	t.Helper()
	tap, err := NewTap(o)
	must(t, err)
	return closing(t, tap)
}

// bridgedTaps makes two taps whose frames reach each other.
func bridgedTaps(t testing.TB, mtu, queues int) (a, b *Tap) {
	t.Helper()
	addBridge(t, "br0", mtu)
	o := TapOptions{Bridge: "br0", Queues: queues}
	return newTap(t, o), newTap(t, o)
}

func TestTapIsMadeAndRemoved(t *testing.T) {
	before := openFiles(t)
	tap, err := NewTap(TapOptions{MAC: [6]byte{0x52, 0x54, 0, 1, 2, 3}, MTU: 9000})
	must(t, err)
	attrs := linkOf(t, "vnet0").Attrs()
	if tap.Name() != "vnet0" || tap.Index() != attrs.Index {
		t.Errorf("name %s, index %d; the interface has index %d", tap.Name(), tap.Index(), attrs.Index)
	}
	if got := attrs.HardwareAddr.String(); got != "fe:54:00:01:02:03" {
		t.Errorf("MAC %s", got)
	}
	if attrs.MTU != 9000 || tap.MTU() != 9000 {
		t.Errorf("MTU %d, reported as %d", attrs.MTU, tap.MTU())
	}
	if attrs.RawFlags&unix.IFF_UP == 0 || !tap.Link() {
		t.Error("it is not up")
	}
	second := newTap(t, TapOptions{})
	if second.Name() != "vnet1" || second.MTU() != 1500 {
		t.Errorf("the second: %s, MTU %d", second.Name(), second.MTU())
	}
	must(t, second.Close())
	must(t, tap.Close())
	must(t, tap.Close())
	if linkOf(t, "vnet0") != nil {
		t.Error("the interface is there after Close")
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
	if tap.Link() {
		t.Error("the link is up after Close")
	}
}

func TestTapBridge(t *testing.T) {
	bridge := addBridge(t, "br0", 1400)
	tap := newTap(t, TapOptions{Name: "guest%d", Bridge: "br0", MAC: [6]byte{2, 0, 0, 0, 0, 1}})
	attrs := linkOf(t, "guest0").Attrs()
	if attrs.MasterIndex != bridge.Attrs().Index {
		t.Errorf("its master is %d, not the bridge", attrs.MasterIndex)
	}
	if tap.MTU() != 1400 {
		t.Errorf("its MTU is %d, not the bridge's", tap.MTU())
	}
}

// TestTapErrors checks what is said, and that nothing is left behind.
func TestTapErrors(t *testing.T) {
	addLink(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "veth7"}, PeerName: "peer7"})
	addLink(t, &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "tun7"}, Mode: netlink.TUNTAP_MODE_TUN})
	addLink(t, persistentTap("tap7", false))
	addLink(t, persistentTap("busy7", false))
	newTap(t, TapOptions{Name: "busy7", Existing: true})
	before := openFiles(t)
	for _, tt := range []struct {
		o    TapOptions
		want string
	}{
		{TapOptions{Bridge: "br7"}, "there is no bridge br7; make it"},
		{TapOptions{Bridge: "veth7"}, "veth7 is a veth, not a bridge"},
		{TapOptions{Bridge: strings.Repeat("b", 16)}, "bridge bbbb"},
		{TapOptions{Name: "veth7"}, "an interface of this name exists already"},
		{TapOptions{Name: "tap7"}, "an interface of this name exists already"},
		{TapOptions{Name: "abcdefghijklmnop"}, "is longer than 15 bytes"},
		{TapOptions{Name: "a/b"}, "not allowed"},
		{TapOptions{Name: "a b"}, "not allowed"},
		{TapOptions{Name: ".."}, "not allowed"},
		{TapOptions{Name: "v%s"}, "has a %"},
		{TapOptions{Name: "v%d%d"}, "has a %"},
		{TapOptions{Name: "v%d", Existing: true}, "has a %"},
		{TapOptions{Existing: true}, "is empty"},
		{TapOptions{Name: "no7", Existing: true}, "there is no such interface"},
		{TapOptions{Name: "veth7", Existing: true}, "is a veth, not a tap"},
		{TapOptions{Name: "tun7", Existing: true}, "not a tap"},
		{TapOptions{Name: "busy7", Existing: true}, "another program has it open"},
		{TapOptions{Name: "tap7", Existing: true, Queues: 2}, "make it with multi_queue"},
		{TapOptions{Name: "tap7", Existing: true, MTU: 1000, Bridge: "br7"}, "there is no bridge"},
		{TapOptions{Name: "tap7", Existing: true, MAC: [6]byte{2}, MTU: 1 << 20}, "set the MTU to 1048576"},
		{TapOptions{MTU: 1}, "set the MTU to 1"},
		{TapOptions{MTU: -1}, "negative"},
		{TapOptions{MAC: [6]byte{1}}, "group address"},
		{TapOptions{Queues: -1}, "queue pairs"},
		{TapOptions{Queues: MaxQueues + 1}, "queue pairs"},
	} {
		links, err := netlink.LinkList()
		must(t, err)
		mac := linkOf(t, "tap7").Attrs().HardwareAddr.String()
		tap, err := NewTap(tt.o)
		if err == nil {
			tap.Close()
			t.Errorf("%+v was accepted", tt.o)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "net: tap ") {
			t.Errorf("%+v:\n got %v\nwant %s", tt.o, err, tt.want)
		}
		now, err := netlink.LinkList()
		must(t, err)
		if len(now) != len(links) {
			t.Errorf("%+v: %d interfaces before, %d after", tt.o, len(links), len(now))
		}
		if got := linkOf(t, "tap7").Attrs().HardwareAddr.String(); got != mac {
			t.Errorf("%+v: MAC address %s before, %s after", tt.o, mac, got)
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

func persistentTap(name string, multiqueue bool) *netlink.Tuntap {
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI}
	if multiqueue {
		tap.Flags |= netlink.TUNTAP_MULTI_QUEUE
	}
	return tap
}

func TestExistingTapIsPutBack(t *testing.T) {
	addBridge(t, "br0", 1500)
	for _, multiqueue := range []bool{false, true} {
		name := fmt.Sprintf("tap-%v", multiqueue)
		addLink(t, persistentTap(name, multiqueue))
		must(t, netlink.LinkSetHardwareAddr(linkOf(t, name), []byte{2, 0, 0, 0, 0, 9}))
		o := TapOptions{Name: name, Existing: true, MTU: 1300, Bridge: "br0", MAC: [6]byte{2, 2, 3, 4, 5, 6}}
		if multiqueue {
			o.Queues = 2
		}
		tap := newTap(t, o)
		attrs := linkOf(t, name).Attrs()
		if attrs.MTU != 1300 || attrs.MasterIndex == 0 || attrs.HardwareAddr[0] != 0xfe || attrs.RawFlags&unix.IFF_UP == 0 {
			t.Errorf("%s in use: %+v", name, attrs)
		}
		must(t, tap.Close())
		attrs = linkOf(t, name).Attrs()
		if attrs.MTU != 1500 || attrs.MasterIndex != 0 || attrs.HardwareAddr.String() != "02:00:00:00:00:09" || attrs.RawFlags&unix.IFF_UP != 0 {
			t.Errorf("%s after Close: %+v", name, attrs)
		}
	}
	// One queue of an interface made for several.
	tap := newTap(t, TapOptions{Name: "tap-true", Existing: true})
	must(t, tap.Close())
}

// TestTapFrames sends from one tap to the other through a bridge.
func TestTapFrames(t *testing.T) {
	a, b := bridgedTaps(t, 9000, 1)
	var bytesSent uint64
	for _, header := range []int{HeaderSize, ShortHeaderSize} {
		must(t, a.SetHeaderSize(header))
		must(t, b.SetHeaderSize(header))
		for _, n := range []int{60, 1514, 9014} {
			sent := frame(header, n, byte(n))
			must(t, a.Queue(0).Send(split(sent, 12, 100)))
			buf := make([]byte, 5000)
			if got := receive(t, b.Queue(0), split(buf, 12, 33)...); !bytes.Equal(got[header:], sent[header:]) {
				t.Errorf("header %d, frame of %d bytes: received %d bytes that differ", header, n, len(got))
			}
			bytesSent += uint64(n)
		}
	}
	if got, want := a.Stats(), (Stats{TxFrames: 6, TxBytes: bytesSent}); got != want {
		t.Errorf("sender's stats %+v, want %+v", got, want)
	}
	if got, want := b.Stats(), (Stats{RxFrames: 6, RxBytes: bytesSent}); got != want {
		t.Errorf("receiver's stats %+v, want %+v", got, want)
	}
	// The kernel refuses this one, and goes on.
	bad := frame(ShortHeaderSize, 60, 0)
	Header{GSOType: GSOTCPv4 | 0x70, GSOSize: 100}.Put(bad)
	must(t, a.Queue(0).Send([][]byte{bad}))
	if got := a.Stats().TxErrors; got != 1 {
		t.Errorf("%d errors after a bad header", got)
	}
	must(t, a.Queue(0).Send([][]byte{frame(ShortHeaderSize, 60, 0)}))
	receive(t, b.Queue(0))
}

// tcpFrame is a TCP segment that is to be cut into parts of 1000 bytes.
func tcpFrame(payload int) []byte {
	const l2, l3, l4 = 14, 20, 20
	b := make([]byte, HeaderSize+l2+l3+l4+payload)
	Header{
		Flags: HeaderNeedsCsum, GSOType: GSOTCPv4, HdrLen: l2 + l3 + l4, GSOSize: 1000,
		CsumStart: l2 + l3, CsumOffset: 16,
	}.Put(b)
	eth := b[HeaderSize:]
	copy(eth, "\xff\xff\xff\xff\xff\xff\x52\x54\x00\x00\x00\x01\x08\x00")
	ip := eth[l2:]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(ip[2:], uint16(l3+l4+payload))
	copy(ip[12:], "\xc0\x00\x02\x01\xc0\x00\x02\x02")
	var sum uint32 // bridges with netfilter check it
	for i := 0; i < l3; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum%0xffff))
	tcp := ip[l3:]
	tcp[12], tcp[13] = 5<<4, 0x10
	return b
}

func TestTapOffloads(t *testing.T) {
	a, b := bridgedTaps(t, 1500, 1)
	const least = Csum | TSO4 | TSO6 | TSOECN
	if b.Offloads()&least != least {
		t.Fatalf("offloads %v", b.Offloads())
	}
	// Without offloads, the host cuts it.
	must(t, a.Queue(0).Send([][]byte{tcpFrame(2500)}))
	for _, want := range []int{1000, 1000, 500} {
		got := receive(t, b.Queue(0), make([]byte, 4096))
		if h, _ := ParseHeader(got); h.GSOType != GSONone || h.Flags&HeaderNeedsCsum != 0 || len(got) != HeaderSize+54+want {
			t.Errorf("%d bytes with header %+v", len(got), h)
		}
	}
	// With them it does not, up to the largest that the interface takes.
	must(t, b.SetOffloads(b.Offloads()))
	for _, payload := range []int{2500, 65535 - 54} {
		must(t, a.Queue(0).Send([][]byte{tcpFrame(payload)}))
		got := receive(t, b.Queue(0), make([]byte, 4096))
		if h, _ := ParseHeader(got); h.GSOType != GSOTCPv4 || h.GSOSize != 1000 || h.Flags&HeaderNeedsCsum == 0 || len(got) != HeaderSize+54+payload {
			t.Errorf("%d bytes with header %+v", len(got), h)
		}
	}
	must(t, b.SetOffloads(Csum))
	must(t, b.SetOffloads(0))
	for _, o := range []Offload{TSO4, Csum | TSOECN, Csum | USO4, 1 << 20} {
		if b.SetOffloads(o) == nil {
			t.Errorf("offloads %v were accepted", o)
		}
	}
}

func TestTapQueues(t *testing.T) {
	a, b := bridgedTaps(t, 1500, 2)
	f := [][]byte{frame(HeaderSize, 60, 0)}
	if err := a.Queue(1).Send(f); !errors.Is(err, ErrDisabled) {
		t.Errorf("a queue that is disabled at first: %v", err)
	}
	for range 2 {
		must(t, a.SetQueues(2))
		must(t, b.SetQueues(2))
		must(t, a.Queue(1).Send(f))
		must(t, b.SetQueues(1))
		must(t, b.SetQueues(1))
		// All go to the one that is left now.
		if _, _, err := b.Queue(0).Receive(nil); !errors.Is(err, ErrAgain) {
			must(t, err)
		}
		for range 20 {
			must(t, a.Queue(1).Send(f))
			receive(t, b.Queue(0))
		}
		must(t, a.SetQueues(1))
	}
}

// TestTapDeleted deletes the interface under a reader, and under none.
func TestTapDeleted(t *testing.T) {
	for _, reader := range []bool{true, false} {
		t.Run(fmt.Sprintf("reader=%v", reader), func(t *testing.T) {
			var log logged
			tap := newTap(t, TapOptions{Log: log.logger()})
			links := make(chan bool, 10)
			tap.OnLink(func(up bool) { links <- up })
			got := make(chan error, 1)
			if reader {
				go func() { got <- endOf(tap.Queue(0)) }()
			}
			must(t, netlink.LinkDel(linkOf(t, tap.Name())))
			within(t, "the link to go down", func() {
				if <-links {
					t.Error("the link is up")
				}
			})
			if reader {
				within(t, "the reader", func() { check(t, ignore(<-got, errGone)) })
			}
			for range 3 {
				if err := tap.Queue(0).Send([][]byte{frame(HeaderSize, 60, 0)}); !errors.Is(err, errGone) {
					t.Errorf("send: %v", err)
				}
				if err := wait(tap.Queue(0), ToReceive); !errors.Is(err, errGone) {
					t.Errorf("wait: %v", err)
				}
			}
			if n := strings.Count(log.String(), "\n"); n != 1 {
				t.Errorf("%d lines were logged:\n%s", n, log.String())
			}
			if tap.Link() || len(links) > 0 || tap.MTU() != 1500 || tap.Stats() != (Stats{}) {
				t.Errorf("link %v, %d more changes, MTU %d, stats %+v", tap.Link(), len(links), tap.MTU(), tap.Stats())
			}
		})
	}
}

// ignore returns err unless it is the one expected.
func ignore(err, expected error) error {
	switch {
	case errors.Is(err, expected):
		return nil
	case err == nil:
		return fmt.Errorf("no error, want %w", expected)
	}
	return err
}

// TestTapDown has an administrator who takes the interface down and up again.
func TestTapDown(t *testing.T) {
	tap := newTap(t, TapOptions{})
	links := make(chan bool, 10)
	tap.OnLink(func(up bool) { links <- up })
	must(t, netlink.LinkSetDown(linkOf(t, tap.Name())))
	within(t, "the link to go down", func() { <-links })
	must(t, tap.Queue(0).Send([][]byte{frame(HeaderSize, 60, 0)}))
	if s := tap.Stats(); s.TxDropped != 1 || s.TxFrames != 0 {
		t.Errorf("after sending on an interface that is down: %+v", s)
	}
	must(t, netlink.LinkSetUp(linkOf(t, tap.Name())))
	within(t, "the link to come up", func() {
		if !<-links {
			t.Error("the link went down twice")
		}
	})
	must(t, tap.Queue(0).Send([][]byte{frame(HeaderSize, 60, 0)}))
	if s := tap.Stats(); s.TxFrames != 1 {
		t.Errorf("after it is up again: %+v", s)
	}
}

func TestTapCarrier(t *testing.T) {
	tap := newTap(t, TapOptions{})
	for _, up := range []bool{false, true} {
		must(t, tap.SetLink(up))
		if got := linkOf(t, tap.Name()).Attrs().RawFlags&unix.IFF_LOWER_UP != 0; got != up {
			t.Errorf("after SetLink(%v), the carrier is %v", up, got)
		}
		if !tap.Link() {
			t.Error("our own doing was taken for the host's")
		}
	}
}

// TestTapFlood sends more than anybody takes: the kernel's queue is bounded, and
// the loss is counted.
func TestTapFlood(t *testing.T) {
	a, b := bridgedTaps(t, 1500, 1)
	const n = 5000
	f := [][]byte{frame(HeaderSize, 1514, 0)}
	for range n {
		must(t, a.Queue(0).Send(f))
	}
	kept := 0
	buf := [][]byte{make([]byte, 2000)}
	for ; ; kept++ {
		if _, _, err := b.Queue(0).Receive(buf); errors.Is(err, ErrAgain) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	s := b.Stats()
	if kept == 0 || kept > 2000 || s.RxFrames != uint64(kept) || s.RxDropped != uint64(n-kept) {
		t.Errorf("of %d frames %d were kept; stats %+v", n, kept, s)
	}
}

// TestTapNeedsPrivilege runs without CAP_NET_ADMIN, which a thread can give up
// for itself.
func TestTapNeedsPrivilege(t *testing.T) {
	addLink(t, persistentTap("tap7", false))
	results := make(chan error, 2)
	go func() {
		dropNetAdmin() // the thread ends with this goroutine
		for _, o := range []TapOptions{{}, {Name: "tap7", Existing: true, MTU: 1300}} {
			tap, err := NewTap(o)
			if err == nil {
				tap.Close()
			}
			results <- err
		}
	}()
	for range 2 {
		err := <-results
		if err == nil || !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("without privilege: %v", err)
		}
	}
}
