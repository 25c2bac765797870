package qmp

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm"
)

// Requests are a stream of objects: lines mean nothing, and what is not an object
// costs its line.
func TestScanner(t *testing.T) {
	deep := strings.Repeat(`{"a":[`, maxDepth/2) + strings.Repeat(`]}`, maxDepth/2)
	large := `{"` + strings.Repeat("x", maxRequest-4) + `"}`
	for _, test := range []struct{ in, want string }{
		{"", "EOF"},
		{" \r\n\t", "EOF"},
		{"{}", "{}|EOF"},
		{"{}{} \n{\n}", "{}|{}|{\n}|EOF"},
		{`{"a":{"b":["}"]}}{"c\"{":1}`, `{"a":{"b":["}"]}}|{"c\"{":1}|EOF`},
		{`{"\\"}{}`, `{"\\"}|{}|EOF`},
		{`{"a":`, "EOF"},
		{"hello {}\n{}", "begins|{}|EOF"},
		{"[{}]\n{}", "begins|{}|EOF"},
		{"}{}\n\n{}", "begins|{}|EOF"},
		{"\xff{}\n{}", "begins|{}|EOF"},
		{"junk", "begins|EOF"},
		{"{\"no end\n{}", "control|{}|EOF"},
		{"{\"a\x00b\"}{}\n{}", "control|{}|EOF"},
		{"{\"a\\\nb\"}\n{}", `control|begins|{}|EOF`},
		{"{]", "{]|EOF"}, // encoding/json will see
		{deep + "{}", deep + "|{}|EOF"},
		{`{"a":` + deep + "}", errTooDeep.Error()},
		{large + "{}", large + "|{}|EOF"},
		{`{ ` + large[1:], errTooLarge.Error()},
		{strings.Repeat("x", maxRequest+2), errTooLarge.Error()},
	} {
		for _, reader := range []io.Reader{strings.NewReader(test.in), iotest.OneByteReader(strings.NewReader(test.in))} {
			s := newScanner(reader)
			var got []string
			for len(got) == 0 || got[len(got)-1] != "EOF" && got[len(got)-1] != errTooDeep.Error() && got[len(got)-1] != errTooLarge.Error() {
				text, err := s.next()
				if err != nil {
					text = []byte(err.Error())
				}
				for _, word := range []string{"begins", "control"} {
					if err != nil && strings.Contains(err.Error(), word) {
						text = []byte(word)
					}
				}
				got = append(got, string(text))
			}
			if got := strings.Join(got, "|"); got != test.want {
				t.Errorf("%.60q: %.200q, not %.200q", test.in, got, test.want)
			}
		}
	}
}

// After a request that is wrong, the next one is answered.
func TestMalformed(t *testing.T) {
	r := newRig(t)
	defer r.close()
	s := r.open()
	for _, test := range [][2]string{
		{"{\"execute\": bad}\n", "not valid JSON"},
		{"{}", "member 'execute' is missing"},
		{`{"execute":1,"id":5}`, "member 'execute' is not a string"},
		{`{"execute":1,"id":5}`, `"id":5`},
		{`{"Execute":"stop"}`, "member 'execute' is missing"},
		{`{"exec-oob":"stop","id":1}`, "member 'execute' is missing"},
		{`{"execute":"stop","control":{}}`, "member 'control' is not known"},
		{"{'execute':'stop'}", "not valid JSON"},
		{"[]\n", "begins with '{'"},
		{"stop\n", "begins with '{'"},
		{"{\"execute\":\"stop\xff\"}", `"CommandNotFound"`},
		{"{]", "not valid JSON"},
	} {
		if got := s.ask(test[0]); !strings.Contains(got, test[1]) || !strings.HasPrefix(got, `{"error":`) {
			t.Errorf("%q: %s", test[0], got)
		}
		if got := s.ask(" \n{\"execute\":\n\"query-name\"} "); got != `{"return":{"name":"vm one"}}` {
			t.Errorf("after %q: %s", test[0], got)
		}
	}
	if got := r.machine.taken(); got != "" {
		t.Errorf("asked of the machine: %s", got)
	}
}

// What cannot be bounded otherwise ends the connection, with a word of explanation.
func TestTooMuch(t *testing.T) {
	for what, text := range map[string]string{
		errTooDeep.Error():  strings.Repeat(`{"a":`, maxDepth+1),
		errTooLarge.Error(): `{"execute":"` + strings.Repeat("x", maxRequest),
	} {
		r := newRig(t)
		s := r.open()
		go func() { _, _ = io.WriteString(s.conn, text) }() // it is not read to its end
		if got := s.read(); !strings.Contains(got, what) || !strings.Contains(got, "closed") {
			t.Error(got)
		}
		s.ended()
		r.open() // another client is none the worse
		r.close()
	}
}

// A client that asks and does not read waits for itself, and keeps little waiting.
func TestAnswersWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		s := r.open()
		id := strings.Repeat("i", 100<<10)
		const asked = 100
		sent := make(chan int)
		go func() {
			n := 0
			for ; n < asked; n++ {
				if _, err := fmt.Fprintf(s.conn, `{"execute":"query-name","id":"%d%s"}`, n, id); err != nil {
					break
				}
			}
			sent <- n
		}()
		synctest.Wait() // nothing moves any more
		for c := range r.server.clients {
			if waiting := len(c.out.waiting); waiting > maxAnswers {
				t.Errorf("%d bytes wait", waiting)
			}
		}
		for n := range asked {
			if got := s.read(); !strings.Contains(got, fmt.Sprintf(`"id":"%di`, n)) {
				t.Fatalf("answer %d: %.80s", n, got)
			}
		}
		if n := <-sent; n != asked {
			t.Errorf("%d were taken", n)
		}
	})
}

// A client that does not read events is cut off; the machine and the others do not
// wait for it.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		slow, good := r.open(), r.open()
		const moves = 20000 // of some 140 bytes each
		for i := range moves {
			r.machine.happen(vmm.Event{Kind: vmm.EventTray, Device: "hdc", Open: i%2 == 0})
			if got := good.read(); !strings.Contains(got, fmt.Sprintf(`"tray-open":%v`, i%2 == 0)) {
				t.Fatalf("event %d: %s", i, got)
			}
		}
		synctest.Wait()
		r.server.mu.Lock()
		if n := len(r.server.clients); n != 1 {
			t.Errorf("%d clients", n)
		}
		r.server.mu.Unlock()
		if rest, err := io.ReadAll(slow.from); err != nil || len(rest) > 2*maxWaiting {
			t.Errorf("the slow one got %d bytes, %v", len(rest), err)
		}
		good.ask(`{"execute":"query-status"}`)
	})
}

// Clients beyond the limit are turned away, until another one has gone.
func TestManyClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		var first *session
		for range maxClients {
			first = r.open()
		}
		ours, theirs := net.Pipe()
		r.server.ServeConn(theirs)
		if _, err := ours.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("one too many: %v", err)
		}
		first.conn.Close()
		synctest.Wait()
		r.open()
	})
}

// A client that has closed its half gets the answers to what it asked before.
func TestHalfClosed(t *testing.T) {
	r := newRig(t)
	defer r.close()
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- r.server.Serve(l) }()
	conn, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, `{"execute":"qmp_capabilities"}{"execute":"query-name","id":1}`); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(got), "{\"return\":{}}\r\n{\"return\":{\"name\":\"vm one\"},\"id\":1}\r\n") {
		t.Errorf("%s, %v", got, err)
	}
	r.close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// starved is a listener that has no descriptors left for some clients, and one
// that fails for good after the last.
type starved struct {
	net.Listener
	errors []error
}

func (l *starved) Accept() (net.Conn, error) {
	err := l.errors[0]
	l.errors = l.errors[1:]
	return nil, err
}

func (l *starved) Close() error { return nil }

func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		l := &starved{errors: []error{unix.EMFILE, &net.OpError{Op: "accept", Err: unix.ENFILE}, unix.EBADF}}
		start := time.Now()
		if err := r.server.Serve(l); err != unix.EBADF || time.Since(start) != 2*acceptRetry {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
