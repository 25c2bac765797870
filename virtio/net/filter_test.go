package net

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	hostnet "github.com/govmm/govmm/net"
)

// filteringHost is a host end that follows the guest's filter.
type filteringHost struct {
	*fakeHost
	mu  sync.Mutex
	all []hostnet.Filter
}

func (h *filteringHost) SetFilter(f hostnet.Filter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, f)
}

func (h *filteringHost) last(t *testing.T) hostnet.Filter {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.all) == 0 {
		t.Fatal("the host end has been told nothing")
	}
	return h.all[len(h.all)-1]
}

// TestFilterIsTold has a host end that follows: the address, and which multicast
// frames come in.
func TestFilterIsTold(t *testing.T) {
	host := &filteringHost{fakeHost: newFakeHost(t, 1)}
	m := start(t, Options{Backend: host}, form{}, allControl)
	group, own := []byte("\x01\x00\x5E\x00\x00\x01"), []byte("\x52\x54\x00\x09\x09\x09")
	for _, tt := range []struct {
		command uint16
		data    []byte
		want    hostnet.Filter
	}{
		{ctrlMACTableSet, slices.Concat(le32(0), le32(1), group), hostnet.Filter{MAC: testMAC, AllMulticast: true, Multicast: [][6]byte{[6]byte(group)}}},
		{ctrlPromiscuous, []byte{0}, hostnet.Filter{MAC: testMAC, Multicast: [][6]byte{[6]byte(group)}}},
		{ctrlMACAddrSet, own, hostnet.Filter{MAC: [6]byte(own), Multicast: [][6]byte{[6]byte(group)}}},
		{ctrlAllMulticast, []byte{1}, hostnet.Filter{MAC: [6]byte(own), AllMulticast: true, Multicast: [][6]byte{[6]byte(group)}}},
		{ctrlNoMulticast, []byte{1}, hostnet.Filter{MAC: [6]byte(own)}},
	} {
		if got := m.control(tt.command, tt.data...); got != ackOK {
			t.Fatalf("command %#x: answer %d", tt.command, got)
		}
		if got := host.last(t); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("command %#x: the host end is told %+v, want %+v", tt.command, got, tt.want)
		}
	}
	m.dev.Reset()
	if got, want := host.last(t), (hostnet.Filter{MAC: testMAC, AllMulticast: true}); !reflect.DeepEqual(got, want) {
		t.Errorf("after a reset it is told %+v, want %+v", got, want)
	}
}
