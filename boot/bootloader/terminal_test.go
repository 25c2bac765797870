package bootloader

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// TestMenu chooses from a menu by the terminal.
func TestMenu(t *testing.T) {
	h := newHost(t)
	h.kernel("k2")
	h.script(`[ -t 0 ] && [ -t 1 ] || exit 9
stty size >$host/size
echo warning >&2
printf 'choose: '
read n
echo "booting $n"
echo kernel $host/k$n >$out
`)
	near, far := net.Pipe()
	defer near.Close()
	h.opts.Terminal = near
	screen := make(chan string, 1)
	// Standard error comes by a way of its own, at any time.
	complete := func(seen string) bool {
		return strings.Contains(seen, "warning") && strings.Contains(seen, "booting 2\r\n")
	}
	go func() {
		defer io.Copy(io.Discard, far) // a terminal goes on taking what is written to it
		var seen strings.Builder
		defer func() { screen <- seen.String() }()
		r := bufio.NewReader(far)
		for {
			c, err := r.ReadByte()
			if err != nil {
				return
			}
			seen.WriteByte(c)
			if strings.HasSuffix(seen.String(), "choose: ") {
				if _, err := far.Write([]byte("2\r")); err != nil {
					return
				}
			}
			if complete(seen.String()) {
				return
			}
		}
	}()
	result := h.runs()
	if result.Kernel != h.path("k2") {
		t.Errorf("kernel %s", result.Kernel)
	}
	if seen := <-screen; !complete(seen) {
		t.Errorf("on the screen: %q", seen)
	}
	if size := h.read("size"); size != "24 80\n" {
		t.Errorf("size of the terminal %q", size)
	}
	// The terminal is the caller's again.
	go far.Write([]byte("x"))
	if n, err := near.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("reading the terminal afterwards: %d, %v", n, err)
	}
}

// deadScreen is a terminal that nobody can look at any more.
type deadScreen struct{ net.Conn }

func (deadScreen) Write([]byte) (int, error) { return 0, errors.New("gone") }

// TestDeadTerminal runs a program that prints a lot on a terminal that has gone.
func TestDeadTerminal(t *testing.T) {
	h := newHost(t)
	h.kernel("k")
	h.script("seq 100000; seq 100000 >&2; echo kernel $host/k >$out")
	near, far := net.Pipe()
	defer far.Close()
	h.opts.Terminal = deadScreen{near}
	h.runs().Cleanup()

	near.Close()
	h.fails(t.Context(), "the terminal given cannot be used")
}
