package e1000

import (
	"testing"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
)

// filteringHost is a host end that follows the card's address.
type filteringHost struct {
	*hostnet.Pair
	last hostnet.Filter
}

func (h *filteringHost) SetFilter(f hostnet.Filter) { h.last = f }

// The host end follows the address that the driver sets, once it is valid.
func TestAddressIsTold(t *testing.T) {
	ram, err := memory.New(memory.Config{Size: ramSize})
	must(t, err)
	a, b, err := hostnet.NewPair(hostnet.PairOptions{})
	must(t, err)
	host := &filteringHost{Pair: a}
	card, err := New(Options{Name: "net0", MAC: mac, Backend: host, Memory: ram, Clock: new(clock.Fake)})
	must(t, err)
	t.Cleanup(func() {
		for _, close := range []func() error{card.Close, a.Close, b.Close, ram.Close} {
			must(t, close())
		}
	})
	check := func(want [6]byte) {
		t.Helper()
		if host.last.MAC != want || !host.last.AllMulticast {
			t.Errorf("it is told %+v, want the address %x", host.last, want)
		}
	}
	check(mac)
	card.mu.Lock()
	card.write(regRA+4, 0)
	card.write(regRA, 0x09005452)
	check(mac) // not valid yet
	card.write(regRA+4, rahAV|0x0A09)
	check([6]byte{0x52, 0x54, 0, 9, 9, 0x0A})
	card.mu.Unlock()
	card.Reset()
	check(mac)
}
