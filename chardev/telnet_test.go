package chardev

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/await"
)

// breakFront is a front end with a break input.
type breakFront struct {
	*frontEnd
	refuse int // breaks
}

func (f *breakFront) Break() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse > 0 {
		f.refuse--
		return false
	}
	f.got.WriteString("<break>")
	return true
}

// fakeConn is a peer that has said everything already.
type fakeConn struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *fakeConn) Read(p []byte) (int, error)      { return c.in.Read(p) }
func (c *fakeConn) Write(p []byte) (int, error)     { return c.out.Write(p) }
func (c *fakeConn) Close() error                    { return nil }
func (c *fakeConn) SetReadDeadline(time.Time) error { return nil }

// hear decodes what a peer says, and returns also what it was answered after the
// first requests.
func hear(t testing.TB, server bool, said string) (data, answers string, breaks int) {
	t.Helper()
	c := &fakeConn{in: bytes.NewReader([]byte(said))}
	l := newTelnetLink(&socketLink{Conn: c}, server)
	defer l.Close()
	l.out.Lock() // the test takes the answers
	defer l.out.Unlock()
	l.mu.Lock()
	requests := len(l.replies)
	l.mu.Unlock()
	var got []byte
	buf := make([]byte, 3)
	for {
		n, err := l.Read(buf)
		got = append(got, buf[:n]...)
		if err == errBreak {
			breaks++
		} else if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	all := l.pending()
	if len(all) < requests {
		t.Fatal("the requests are gone")
	}
	return string(got), string(all[requests:]), breaks
}

func TestTelnetHears(t *testing.T) {
	const (
		iac                  = "\xff"
		will, wont, do, dont = iac + "\xfb", iac + "\xfc", iac + "\xfd", iac + "\xfe"
		binary, echo, sga    = "\x00", "\x01", "\x03"
		naws, tty, mark      = "\x1f", "\x18", "\x06"
	)
	for name, test := range map[string]struct {
		client        bool
		said          string
		data, answers string
		breaks        int
	}{
		"data":              {said: "hello", data: "hello"},
		"doubled":           {said: "a" + iac + iac + "b", data: "a\xffb"},
		"break":             {said: "a" + iac + "\xf3b" + iac + "\xf3", data: "ab", breaks: 2},
		"commands":          {said: "a" + iac + "\xf1" + iac + "\xf4" + iac + "\xf6" + iac + "\xf9b", data: "ab"},
		"no command":        {said: "a" + iac + "\x00" + iac + "b" + "c", data: "ac"},
		"subnegotiation":    {said: "a" + iac + "\xfa" + tty + "\x00xterm" + iac + iac + "x" + iac + "\xf0b", data: "ab"},
		"agreed":            {said: do + binary + do + echo + do + sga + will + binary + will + sga, data: ""},
		"agreed again":      {said: do + echo + do + echo, data: ""},
		"refused":           {said: do + naws + will + tty + wont + tty + dont + naws, answers: dont + tty + wont + naws},
		"timing mark":       {said: "a" + iac + "\xf4" + do + mark + "b", answers: wont + mark, data: "ab"},
		"server echoes":     {said: will + echo, answers: dont + echo},
		"client does not":   {client: true, said: do + echo, answers: wont + echo},
		"client is echoed":  {client: true, said: will + echo + wont + echo + will + echo, answers: do + echo + dont + echo + do + echo},
		"taken back":        {said: do + sga + dont + sga + do + sga, answers: wont + sga + will + sga},
		"great option":      {said: do + iac, answers: wont + iac},
		"enter":             {said: "a\r\x00b\r\nc\rd\r", data: "a\rb\rc\rd\r"},
		"only one":          {said: "a\r\n\nb\r\x00\x00", data: "a\r\nb\r\x00"},
		"binary enter":      {said: will + binary + "a\r\x00b\r\nc", data: "a\r\x00b\r\nc"},
		"not binary":        {said: will + binary + wont + binary + "a\r\x00b", answers: dont + binary, data: "a\rb"},
		"binary for us":     {said: do + binary + "a\r\x00b", data: "a\rb"},
		"cut off":           {said: "a" + iac, data: "a"},
		"cut off in option": {said: "a" + do, data: "a"},
		"cut off in sub":    {said: "a" + iac + "\xfa" + iac, data: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			data, answers, breaks := hear(t, !test.client, test.said)
			if data != test.data || answers != test.answers || breaks != test.breaks {
				t.Errorf("data %q, answers %q, %d breaks; want %q, %q, %d",
					data, answers, breaks, test.data, test.answers, test.breaks)
			}
		})
	}
}

func TestTelnetSays(t *testing.T) {
	var l telnetLink
	for _, test := range []struct {
		data   string
		binary bool
		want   string
	}{
		{"plain", false, "plain"},
		{"a\xffb", false, "a\xff\xffb"},
		{"a\xffb\r", true, "a\xff\xffb\r"},
		{"x", true, "x"},
		{"\r\n\ra\r", false, "\r\n\r\x00a\r"},
		{"b\r", false, "\x00b\r"},
		{"\n", false, "\n"},
	} {
		if got := string(l.encode([]byte(test.data), test.binary)); got != test.want {
			t.Errorf("%q, binary %v: %q, want %q", test.data, test.binary, got, test.want)
		}
	}
}

// TestTelnetFlood: a peer that asks and never reads costs bounded memory, and its
// data are heard.
func TestTelnetFlood(t *testing.T) {
	flood := bytes.Repeat([]byte{telnetIAC, telnetDO, 31, telnetIAC, telnetDO, telnetSGA, telnetIAC, telnetDONT, telnetSGA}, 100_000)
	const mark, refusal = "\xff\xfd\x06", "\xff\xfc\x06"
	data, answers, _ := hear(t, true, string(flood)+mark+"end")
	if data != "end" || len(answers) > telnetReplies+3+6 {
		t.Errorf("data %q, %d bytes of answers", data, len(answers))
	}
	// A client that is not refused what it asks for at last may wait for ever.
	if strings.Count(answers, refusal) != 1 {
		t.Error("the timing mark is not refused")
	}
}

// TestTelnetPeers has a listening and a connecting end talk to each other.
func TestTelnetPeers(t *testing.T) {
	noLeaks(t)
	opts := localTCP
	opts.Telnet = true
	server, client := openSocket(t, opts), (*Socket)(nil)
	serverFront, clientFront := &breakFront{newFrontEnd(), 1}, &breakFront{newFrontEnd(), 0}
	server.Attach(serverFront)
	opts.Listen, opts.Address = false, server.Addr().String()
	client = openSocket(t, opts)
	client.Attach(clientFront)
	serverFront.waitCarrier(t, true)
	clientFront.waitCarrier(t, true)
	want := random(t, 1<<20)
	go writeAll(t, client, want)
	writeAll(t, server, want)
	for _, f := range []*breakFront{serverFront, clientFront} {
		await.That(t, "all input", func() bool { return len(f.input()) >= len(want) })
		if f.input() != string(want) {
			t.Error("other input arrived than was sent")
		}
	}
	client.SetBreak(true)
	client.SetBreak(false)
	await.That(t, "the break refused", func() bool {
		serverFront.mu.Lock()
		defer serverFront.mu.Unlock()
		return serverFront.refuse == 0
	})
	server.Ready()
	serverFront.waitInput(t, string(want)+"<break>")
	server.SetBreak(true)
	clientFront.waitInput(t, string(want)+"<break>")
	mustClose(t, client)
	serverFront.waitCarrier(t, false)
	mustClose(t, server)
}

// TestTelnetSilentPeer: netcat knows no telnet, and is served all the same.
func TestTelnetSilentPeer(t *testing.T) {
	noLeaks(t)
	opts := localTCP
	opts.Telnet = true
	s, front := openSocket(t, opts), newFrontEnd()
	s.Attach(front)
	conn := dialSocket(t, s)
	front.waitCarrier(t, true)
	writeAll(t, s, []byte("login\xff\r"))
	writeAll(t, s, []byte("x"))
	want := "\xff\xfb\x00\xff\xfd\x00\xff\xfb\x03\xff\xfd\x03\xff\xfb\x01login\xff\xff\r\x00x"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := conn.Write([]byte("me\r\n")); err != nil {
		t.Fatal(err)
	}
	front.waitInput(t, "me\r")
	mustClose(t, s)
}

// TestTelnetCloseNegotiating: Close does not wait for a peer that says nothing.
func TestTelnetCloseNegotiating(t *testing.T) {
	noLeaks(t)
	opts := localTCP
	opts.Telnet = true
	s := openSocket(t, opts)
	s.Attach(newFrontEnd())
	conn := dialSocket(t, s)
	if _, err := io.ReadFull(conn, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

// FuzzTelnet: whatever a peer says, data come out and nothing grows.
func FuzzTelnet(f *testing.F) {
	f.Add([]byte("a\xff\xfd\x00\r\x00\r\n\xff\xff\xff\xf3"), true)
	f.Add([]byte("\xff\xfa\x1f\xff\xff\xff\xf0\xff\xfb\xff\xff"), false)
	f.Fuzz(func(t *testing.T, said []byte, server bool) {
		data, answers, breaks := hear(t, server, string(said))
		if len(data)+2*breaks > len(said) || len(answers) > telnetReplies+3+2*256*3 {
			t.Errorf("%d bytes of data and %d of answers for %d", len(data), len(answers), len(said))
		}
		// What is sent comes out again at the other end.
		for _, binary := range []bool{false, true} {
			var l telnetLink
			prefix := ""
			if binary {
				prefix = "\xff\xfb\x00"
			}
			got, _, _ := hear(t, server, prefix+string(l.encode(said, binary)))
			if want := string(said); binary && got != want {
				t.Errorf("%q became %q", want, got)
			}
		}
	})
}
