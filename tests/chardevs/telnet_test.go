package chardevs

import (
	"bytes"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
)

// TestTelnetInterrupts types before the ends have agreed to anything. The client
// takes some of that for its interrupt key, thousands of times, and each time
// throws away what is sent to it until it is answered that this was seen
// (RFC 860). Of what it throws away nothing can be known, but not even then does
// it wait for ever.
func TestTelnetInterrupts(t *testing.T) {
	s := socket(t, chardev.SocketOptions{Network: "tcp", Address: "127.0.0.1:0", Listen: true, Telnet: true})
	peer := telnetTo(t, chardev.SocketOptions{Address: s.Addr().String()}, end{})
	l := listen(peer)
	if _, err := peer.Write(random(t, "input")); err != nil {
		t.Fatal(err)
	}
	g := startUART(t, s) // nobody is heard before
	g.write(random(t, "output"))
	await.That(t, "the guest to go on", g.sent)
	const last = "--the end--"
	g.write([]byte(last))
	await.That(t, "the end", func() bool { return bytes.HasSuffix(l.heard(), []byte(last)) })
}
