package qmp

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// FuzzSession has several clients send anything to a server at the same time: each
// message of its answers is an object, and the server is there for the next client.
func FuzzSession(f *testing.F) {
	const hello = `{"execute":"qmp_capabilities"}`
	for _, c := range commands() {
		f.Add([]byte(hello + `{"execute":"` + c.name + `","id":1}`))
	}
	f.Add([]byte(hello + `{"execute":"eject","arguments":{"id":"hdc","force":true}}`))
	f.Add([]byte(hello + `{"execute":"blockdev-change-medium","arguments":{"id":"hdc","filename":"/x"}}`))
	f.Add([]byte(hello + `{"execute":"blockdev-add","arguments":{"driver":"file","node-name":"n","filename":"/dev/null"}}` +
		`{"execute":"blockdev-add","arguments":{"driver":"raw","node-name":"m","file":"n"}}` +
		`{"execute":"blockdev-insert-medium","arguments":{"id":"hdc","node-name":"m"}}{"execute":"blockdev-del","arguments":{"node-name":"m"}}`))
	f.Add([]byte(hello + `{"execute":"send-key","arguments":{"keys":[{"type":"qcode","data":"a"}]}}`))
	f.Add([]byte(hello + `{"execute":"balloon","arguments":{"value":18446744073709551615}}`))
	f.Add([]byte("{\"\\u0000\xff\":[{}]}\n}]{"))
	f.Fuzz(func(t *testing.T, input []byte) {
		if bytes.Contains(input, []byte("filename")) && bytes.Contains(input, []byte("dump")) {
			return // it writes files where it is told to
		}
		r := newRig(t)
		defer r.close()
		var writing, reading sync.WaitGroup
		for range 3 {
			ours, theirs := net.Pipe()
			r.server.ServeConn(theirs)
			writing.Go(func() {
				_, _ = ours.Write(input) // the server may not want all of it
				_, _ = ours.Write([]byte("\n{"))
			})
			reading.Go(func() { checkAnswers(t, ours) })
		}
		writing.Wait()
		next := r.open()
		for got := next.ask(`{"execute":"query-version"}`); !strings.HasPrefix(got, `{"return":{"qemu"`); got = next.read() {
			if !strings.HasPrefix(got, `{"event"`) {
				t.Errorf("the next client gets %s", got)
			}
		}
		_ = next.conn.Close()
		r.close() // which ends the connections
		reading.Wait()
	})
}

// checkAnswers reads messages to the end of the connection.
func checkAnswers(t *testing.T, from io.Reader) {
	answer, err := io.ReadAll(from)
	if err != nil {
		t.Error(err)
	}
	for line := range bytes.Lines(answer) {
		var message map[string]json.RawMessage
		if err := json.Unmarshal(line, &message); err != nil || !bytes.HasSuffix(line, []byte("\r\n")) {
			t.Errorf("%v: %q", err, line)
		}
	}
}

// FuzzScanner compares with encoding/json: a stream of objects is cut at the same
// places.
func FuzzScanner(f *testing.F) {
	f.Add([]byte(`{}{"a":"}\""} {"b":[{}]}`))
	f.Add([]byte("{\"a\n\"}[]"))
	f.Fuzz(func(t *testing.T, input []byte) {
		s, d := newScanner(bytes.NewReader(input)), json.NewDecoder(bytes.NewReader(input))
		for {
			var want json.RawMessage
			if err := d.Decode(&want); err != nil || want[0] != '{' {
				break // from here on they may differ
			}
			got, err := s.next()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%q, %v, not %q", got, err, want)
			}
		}
		for range len(input) + 1 {
			if _, err := s.next(); err == io.EOF || err == errTooDeep || err == errTooLarge {
				return
			}
		}
		t.Error("it does not come to an end")
	})
}
