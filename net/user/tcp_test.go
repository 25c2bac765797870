package user

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	hostnet "github.com/govmm/govmm/net"
)

const allOffloads = hostnet.Csum | hostnet.TSO4

// stream is length bytes that follow from a seed.
func stream(seed uint64, length int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{byte(seed)}), length)
}

// sum is the checksum of all that comes.
func sum(r io.Reader) (s [sha256.Size]byte, n int64, err error) {
	h := sha256.New()
	n, err = io.CopyBuffer(h, struct{ io.Reader }{r}, make([]byte, 256<<10))
	h.Sum(s[:0])
	return s, n, err
}

// both sends a stream and ends it, and receives one at the same time.
func both(c net.Conn, send, want uint64, length int64) error {
	_ = c.SetDeadline(time.Now().Add(10 * patience))
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{c}, stream(send, length), make([]byte, 256<<10))
		sent <- errors.Join(err, c.(interface{ CloseWrite() error }).CloseWrite())
	}()
	got, n, err := sum(c)
	if err != nil {
		return err
	}
	expected, _, _ := sum(stream(want, length))
	if got != expected || n != length {
		return errors.New("what was received differs")
	}
	return <-sent
}

// 200 MB each way at the same time, with and without offloads.
func TestTCPTransfer(t *testing.T) {
	length := int64(200e6)
	if testing.Short() {
		length = 20e6
	}
	for name, offloads := range map[string]hostnet.Offload{"offloads": allOffloads, "plain": 0} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, newNetwork(t, Options{}), offloads, true)
			served := make(chan error, 1)
			port := hostTCP(t, "127.0.0.1", func(c net.Conn) { served <- both(c, 1, 2, length) })
			c, err := m.dial(netip.AddrPortFrom(router, port))
			must(t, err)
			defer c.Close()
			began := time.Now()
			must(t, both(c, 2, 1, length))
			must(t, <-served)
			t.Logf("%d MB each way in %v", length/1e6, time.Since(began).Round(time.Millisecond))
		})
	}
}

// A connection reaches other addresses of the host, and is refused where nobody
// listens, and where there is nothing.
func TestTCPDestinations(t *testing.T) {
	m := newMachine(t, newNetwork(t, Options{}), allOffloads, true)
	port := hostTCP(t, far, func(c net.Conn) { _, _ = io.WriteString(c, "hello") })
	c, err := m.dial(at(far, port))
	must(t, err)
	got, err := io.ReadAll(c)
	must(t, err)
	if string(got) != "hello" {
		t.Errorf("received %q", got)
	}
	must(t, c.Close())
	for _, to := range []netip.AddrPort{
		netip.AddrPortFrom(router, port), // listens elsewhere
		at("240.0.0.1", 80), netip.AddrPortFrom(dns, 80),
	} {
		if c, err := m.dial(to); err == nil {
			t.Errorf("%v is connected", to)
			c.Close()
		}
	}
}

func TestOutside(t *testing.T) {
	for to, want := range map[string]string{
		"10.0.2.2:80": "127.0.0.1:80", "192.0.2.1:443": "192.0.2.1:443", "10.0.3.2:1": "10.0.3.2:1", "169.254.1.1:5": "169.254.1.1:5",
		"10.0.2.3:80": "", "10.0.2.77:80": "", "127.0.0.1:80": "", "0.0.0.0:80": "", "224.0.0.251:5353": "", "255.255.255.255:9": "",
		"192.0.2.1:0": "", "240.1.2.3:4": "", "[2001:db8::1]:80": "",
	} {
		got, ok := outside(netip.MustParseAddrPort(to))
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s is %v, %v, want %q", to, got, ok, want)
		}
	}
}

// The end of one direction leaves the other open.
func TestTCPHalfClose(t *testing.T) {
	m := newMachine(t, newNetwork(t, Options{}), 0, true)
	port := hostTCP(t, "127.0.0.1", func(c net.Conn) {
		all, err := io.ReadAll(c) // until the guest has ended
		if err == nil {
			_, _ = c.Write(bytes.ToUpper(all))
		}
	})
	c, err := m.dial(netip.AddrPortFrom(router, port))
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "question")
	must(t, err)
	must(t, c.(interface{ CloseWrite() error }).CloseWrite())
	got, err := io.ReadAll(c)
	must(t, err)
	if string(got) != "QUESTION" {
		t.Errorf("received %q", got)
	}
}

// A side that does not read stops the other, in both directions.
func TestTCPBackPressure(t *testing.T) {
	m := newMachine(t, newNetwork(t, Options{}), allOffloads, true)
	release := make(chan struct{})
	const length = 64 << 20
	served := make(chan error, 1)
	port := hostTCP(t, "127.0.0.1", func(c net.Conn) {
		<-release
		_, n, err := sum(c)
		if err == nil && n == 0 {
			err = errors.New("nothing was received")
		}
		served <- err
	})
	c, err := m.dial(netip.AddrPortFrom(router, port))
	must(t, err)
	defer c.Close()
	must(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
	n, err := io.CopyBuffer(struct{ io.Writer }{c}, stream(1, length), make([]byte, 64<<10))
	if e, ok := err.(net.Error); !ok || !e.Timeout() {
		t.Errorf("%d bytes were sent to who does not read: %v", n, err)
	}
	close(release)
	must(t, c.(interface{ CloseWrite() error }).CloseWrite())
	must(t, <-served)
}

// So many connections, and no more.
func TestTCPLimit(t *testing.T) {
	n := newNetwork(t, Options{})
	m := newMachine(t, n, 0, true)
	port := hostTCP(t, "127.0.0.1", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for range maxConnections {
		n.world.tcp.take()
	}
	if c, err := m.dial(netip.AddrPortFrom(router, port)); err == nil {
		t.Error("one more is connected")
		c.Close()
	}
	n.world.tcp.give()
	c, err := m.dial(netip.AddrPortFrom(router, port))
	must(t, err)
	c.Close()
}

// A host's port leads to the guest.
func TestForwardTCP(t *testing.T) {
	n := newNetwork(t, Options{Forwards: []Forward{{Protocol: "tcp", Host: at("127.0.0.1", 0), Port: 22}}})
	m := newMachine(t, n, allOffloads, true)
	l := m.listen(22)
	const length = 5e6
	served := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			if got := c.RemoteAddr().(*net.TCPAddr).IP.String(); got != router.String() {
				err = errors.New("the peer is " + got)
			}
			err = errors.Join(err, both(c, 1, 2, length), c.Close())
		}
		served <- err
	}()
	c, err := net.Dial("tcp", n.Forwarded()[0].String())
	must(t, err)
	defer c.Close()
	must(t, both(c, 2, 1, length))
	must(t, <-served)
	// Nobody listens in the guest.
	l.Close()
	again, err := net.Dial("tcp", n.Forwarded()[0].String())
	must(t, err)
	defer again.Close()
	if _, err := again.Read(make([]byte, 1)); err == nil {
		t.Error("a port that is closed in the guest answers")
	}
}

// An address of the network is a function of this process.
func TestChannel(t *testing.T) {
	inside, outside := net.Pipe()
	where := at("10.0.2.100", 4000)
	n := newNetwork(t, Options{Channels: map[netip.AddrPort]func(context.Context) (io.ReadWriteCloser, error){
		where: func(context.Context) (io.ReadWriteCloser, error) { return outside, nil },
	}})
	c, err := newMachine(t, n, 0, true).dial(where)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "ping")
	must(t, err)
	buf := make([]byte, 4)
	_, err = io.ReadFull(inside, buf)
	must(t, err)
	_, err = inside.Write(bytes.ToUpper(buf))
	must(t, err)
	_, err = io.ReadFull(c, buf)
	must(t, err)
	if string(buf) != "PING" {
		t.Errorf("received %q", buf)
	}
	inside.Close()
}

// BenchmarkTCP is the throughput to and from the guest. The guest's own stack
// takes most of the time.
func BenchmarkTCP(b *testing.B) {
	for name, offloads := range map[string]hostnet.Offload{"offloads": allOffloads, "plain": 0} {
		for _, toGuest := range []bool{false, true} {
			direction := "/from guest"
			if toGuest {
				direction = "/to guest"
			}
			b.Run(name+direction, func(b *testing.B) { benchTCP(b, offloads, toGuest) })
		}
	}
}

func benchTCP(b *testing.B, offloads hostnet.Offload, toGuest bool) {
	const chunk = 1 << 20
	m := newMachine(b, newNetwork(b, Options{}), offloads, true)
	conns := make(chan net.Conn)
	done := make(chan struct{})
	port := hostTCP(b, "127.0.0.1", func(c net.Conn) { conns <- c; <-done })
	g, err := m.dial(netip.AddrPortFrom(router, port))
	must(b, err)
	h := <-conns
	src, dst := g, h
	if toGuest {
		src, dst = h, g
	}
	go func() {
		buf := make([]byte, chunk)
		for {
			if _, err := src.Write(buf); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, chunk)
	b.SetBytes(chunk)
	b.ReportAllocs()
	for b.Loop() {
		_, err := io.ReadFull(dst, buf)
		must(b, err)
	}
	close(done)
	g.Close()
}
