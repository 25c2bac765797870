package socket

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	hostnet "github.com/govmm/govmm/net"
)

// All others of a group get a frame, its sender does not.
func TestMcast(t *testing.T) {
	a, b, c := mcast(t, 5001), mcast(t, 5001), mcast(t, 5001)
	other := mcast(t, 5002)
	for _, n := range []int{14, 60, 1514, 9014, maxDatagram} {
		sent := frame(n, 7)
		send(t, a, sent[:3], sent[3:])
		for _, x := range []*Mcast{b, c} {
			if got := receive(t, x); !bytes.Equal(got, sent) {
				t.Errorf("a frame of %d bytes: received %d", n, len(got)-hostnet.HeaderSize)
			}
		}
	}
	exchange(t, b, a, 100) // what a itself has sent would come before
	none(t, a)
	none(t, other)
	send(t, a, frame(maxDatagram+1, 1))
	if got := a.Stats(); got.TxErrors != 1 || got.TxFrames != 5 || got.RxFrames != 1 {
		t.Errorf("stats %+v", got)
	}
}

// Any datagram that reaches the group is a frame, unless it is too short. One
// that nobody takes is dropped when the ring is full.
func TestMcastHostile(t *testing.T) {
	m := mcast(t, 5003)
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("230.0.0.1:5003")))
	must(t, err)
	defer c.Close()
	for n := range 14 {
		_, err := c.Write(make([]byte, n))
		must(t, err)
	}
	for m.Stats().RxDropped == 0 {
		_, err := c.Write(make([]byte, 9000))
		must(t, err)
	}
	if got := m.Stats(); got.RxErrors != 14 {
		t.Errorf("stats %+v", got)
	}
	if got := receive(t, m); len(got) != hostnet.HeaderSize+9000 {
		t.Errorf("received %d bytes", len(got))
	}
}

func TestMcastErrors(t *testing.T) {
	for _, address := range []string{"", "192.0.2.1", "ff02::1", "name"} {
		if _, err := NewMcast(Options{Address: address, Port: 5000}); err == nil || !strings.Contains(err.Error(), "not an IPv4 multicast address") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
