package netboot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/await"
)

// patience is how long a test waits for a packet.
const patience = 20 * time.Second

// serveFiles starts a TFTP server for a directory on the loopback interface.
func serveFiles(t *testing.T, dir string, timeout time.Duration) (*tftpServer, *net.UDPAddr) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := listenTFTP(netip.MustParseAddr("127.0.0.1"), 0, "lo")
	if err != nil {
		t.Fatal(err)
	}
	s := newTFTP(conn, "lo", root, slog.New(slog.DiscardHandler), timeout)
	done := make(chan struct{})
	go func() {
		s.serve()
		close(done)
	}()
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
		<-done
		root.Close()
	})
	return s, conn.LocalAddr().(*net.UDPAddr)
}

// client speaks TFTP a packet at a time.
type client struct {
	t      *testing.T
	conn   *net.UDPConn
	server *net.UDPAddr // the port of the transfer, after the first packet
}

func newClient(t *testing.T, server *net.UDPAddr) *client {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, server}
}

func (c *client) write(packet []byte) {
	c.t.Helper()
	if _, err := c.conn.WriteTo(packet, c.server); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() []byte {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	packet := make([]byte, 65536)
	n, from, err := c.conn.ReadFromUDP(packet)
	if err != nil {
		c.t.Fatal(err)
	}
	c.server = from
	return packet[:n]
}

func rrq(words ...string) []byte {
	return append([]byte{0, opRead}, strings.Join(words, "\x00")+"\x00"...)
}

func ack(block uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{0, opACK}, block)
}

// get fetches a file and returns it with the text of the accepted options.
func (c *client) get(blockSize int, words ...string) (content []byte, options string) {
	c.t.Helper()
	c.write(rrq(words...))
	for block := uint16(1); ; {
		packet := c.read()
		number := binary.BigEndian.Uint16(packet[2:])
		switch binary.BigEndian.Uint16(packet) {
		case opOACK:
			options = string(packet[2:])
			c.write(ack(0))
		case opData:
			if number != block {
				c.t.Fatalf("block %d, not %d", number, block)
			}
			content = append(content, packet[4:]...)
			c.write(ack(block))
			block++
			if len(packet) < 4+blockSize {
				return content, options
			}
		default:
			c.t.Fatalf("packet % x", packet)
		}
	}
}

func TestTFTP(t *testing.T) {
	dir := t.TempDir()
	content := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i ^ i>>8 ^ i>>16)
		}
		return b
	}
	s, server := serveFiles(t, dir, patience)
	for i, c := range []struct {
		size, blockSize int
		words, options  string
	}{
		{0, 512, "octet", ""},
		{511, 512, "octet", ""},
		{512, 512, "OCTET", ""},
		{1025, 512, "octet", ""},
		{5000, 1468, "octet blksize 65464 tsize 0", "blksize 1468 tsize 5000 "},
		{5000, 1024, "octet BLKSIZE 1024 timeout 9", "blksize 1024 timeout 9 "},
		{100, 512, "octet blksize 7 timeout 0 windowsize 8 tsize x", ""},
		{600_000, 8, "octet blksize 8", "blksize 8 "}, // more blocks than there are numbers
	} {
		name := fmt.Sprint("file", i)
		want := content(c.size)
		if err := os.WriteFile(filepath.Join(dir, name), want, 0o644); err != nil {
			t.Fatal(err)
		}
		words := append([]string{"/" + name}, strings.Fields(c.words)...)
		got, options := newClient(t, server).get(c.blockSize, words...)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes by %q: got %d others", c.size, c.words, len(got))
		}
		if o := strings.ReplaceAll(options, "\x00", " "); o != c.options {
			t.Errorf("options of %q: %q, want %q", c.words, o, c.options)
		}
	}
	await.That(t, "the last file is sent", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.sent) == 8 && slices.Contains(s.sent, "/file7")
	})
}

func TestTFTPRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	_, server := serveFiles(t, dir, patience)
	for _, c := range []struct {
		packet []byte
		code   byte
	}{
		{rrq("none", "octet"), errorNotFound},
		{rrq("sub", "octet"), errorAccess},
		{rrq("../passwd", "octet"), errorUndefined},
		{rrq("link", "octet"), errorUndefined},
		{rrq("sub", "netascii"), errorIllegal},
		{rrq("sub"), errorIllegal},
		{[]byte{0, opRead, 'x'}, errorIllegal},
		{[]byte{0, 2, 'x', 0, 'o', 0}, errorIllegal},
		{[]byte{0}, errorIllegal},
	} {
		client := newClient(t, server)
		client.write(c.packet)
		if got := client.read(); len(got) < 5 || got[1] != opError || got[3] != c.code || got[len(got)-1] != 0 {
			t.Errorf("%q: answer %q, want code %d", c.packet, got, c.code)
		}
	}
}

// A packet whose acknowledgement is lost comes again; an old acknowledgement
// brings nothing.
func TestTFTPLost(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	_, server := serveFiles(t, dir, 10*time.Millisecond)
	c := newClient(t, server)
	c.write(rrq("f", "octet"))
	first := c.read()
	if again := c.read(); !bytes.Equal(first, again) {
		t.Fatalf("the first block came again as %d others", len(again))
	}
	c.write(ack(0))
	c.write(ack(1))
	for {
		packet := c.read()
		if bytes.Equal(packet, first) {
			continue // sent before our acknowledgement came
		}
		if len(packet) != 4+1000-512 || packet[3] != 2 {
			t.Fatalf("% x", packet[:4])
		}
		break
	}
	// Nothing more is acknowledged, and the server gives up: its port is closed.
	gone, err := net.DialUDP("udp4", nil, c.server)
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	for deadline := time.Now().Add(patience); ; {
		if time.Now().After(deadline) {
			t.Fatal("the server does not give up")
		}
		if _, err := gone.Write(ack(9)); err != nil {
			return // refused
		}
	}
}

// A client that gives up, and one that keeps a transfer waiting, do not keep
// the server from closing.
func TestTFTPClose(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	s, server := serveFiles(t, dir, time.Hour)
	gives := newClient(t, server)
	gives.write(rrq("f", "octet"))
	gives.read()
	gives.write([]byte{0, opError, 0, 0, 'n', 'o', 0})
	waits := newClient(t, server)
	waits.write(rrq("f", "octet"))
	waits.read()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) != 0 {
		t.Errorf("sent %v", s.sent)
	}
}

func TestParseReply(t *testing.T) {
	for _, packet := range [][]byte{nil, {0, opACK, 0}, {0, opData, 0, 1}, {0, opError, 0, 1, 'x'}} {
		if block, err := parseReply(packet); err == nil {
			t.Errorf("% x acknowledges %d", packet, block)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(rrq("file", "octet", "blksize", "1432", "tsize", "0"))
	f.Add(rrq("file", "octet", "blksize"))
	f.Add([]byte{0, 1, 0})
	f.Fuzz(func(t *testing.T, packet []byte) {
		r, err := parseRequest(packet)
		var e tftpError
		if err != nil && (!errors.As(err, &e) || r.file != "") {
			t.Fatalf("%+v, %v", r, err)
		}
		if err == nil && r.file == "" {
			t.Fatal("a request for nothing")
		}
		tr := transfer{blockSize: defaultBlockSize}
		tr.accept(r, 1)
		if tr.blockSize < minBlockSize || tr.blockSize > maxBlockSize {
			t.Fatalf("blocks of %d bytes", tr.blockSize)
		}
		if slices.ContainsFunc(r.options, func(o option) bool { return o.value < 0 }) {
			t.Fatalf("%+v", r.options)
		}
	})
}
