//go:build !race

package soft

import (
	"testing"

	hostnet "github.com/govmm/govmm/net"
)

// The race detector's own allocations would be counted.
func TestTransferAllocatesNothing(t *testing.T) {
	p := newLoop(t, 0)
	out, in := [][]byte{frameOf(hostnet.Header{}, 1514)}, [][]byte{make([]byte, 1000), make([]byte, 100)}
	if n := testing.AllocsPerRun(1000, func() {
		if err := p.Send(out); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Wait(hostnet.ToReceive|hostnet.ToSend, nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Receive(in); err != nil {
			t.Fatal(err)
		}
		p.Wake()
		if _, err := p.Wait(hostnet.ToReceive, nil); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for each frame", n)
	}
}
