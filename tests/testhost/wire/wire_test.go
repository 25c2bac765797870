package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	request := Request{
		Args: []string{"sh", "-c", "echo \"it's\" $HOME; exit 3\n", "", "\t*"},
		Env:  []string{"A=b c", "EMPTY=", "Q='\"\\"},
		Dir:  "/some where", TTY: &Size{24, 80}, Modules: "/m",
	}
	if err := w.SendJSON(Start, request); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", MaxPayload+10)
	if n, err := io.WriteString(w.Stream(Stdout), long); n != len(long) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	if err := w.Send(Exit, nil); err != nil {
		t.Fatal(err)
	}

	r := NewReader(&b)
	kind, payload, err := r.Next()
	var got Request
	if err != nil || kind != Start || json.Unmarshal(payload, &got) != nil || !reflect.DeepEqual(got, request) {
		t.Errorf("request %d %q, %v", kind, payload, err)
	}
	for _, want := range []struct {
		kind Kind
		size int
	}{{Stdout, MaxPayload}, {Stdout, 10}, {Exit, 0}} {
		kind, payload, err := r.Next()
		if err != nil || kind != want.kind || len(payload) != want.size {
			t.Errorf("frame %d of %d bytes, %v; want %+v", kind, len(payload), err, want)
		}
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	if err := NewWriter(io.Discard).Send(Input, make([]byte, MaxPayload+1)); err == nil {
		t.Error("too long a payload was sent")
	}
	if err := NewWriter(io.Discard).SendJSON(Start, func() {}); err == nil {
		t.Error("a function was sent")
	}
	broken := errors.New("broken")
	if n, err := NewWriter(failing{broken}).Stream(Stdout).Write([]byte("x")); n != 0 || err != broken {
		t.Errorf("Write = %d, %v", n, err)
	}
	for _, test := range []struct{ frames, want string }{
		{"\x00\x00\x00\x00\x00", "unknown kind"},
		{"\x07\x00\x00\x00\x00", "unknown kind"},
		{"\x02\x00\x10\x00\x01", "over the limit"},
		{"\x02\x00\x00", "unexpected EOF"},
		{"\x02\x00\x00\x00\x04", "unexpected EOF"},
		{"\x02\x00\x00\x00\x04abc", "unexpected EOF"},
	} {
		_, _, err := NewReader(strings.NewReader(test.frames)).Next()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want %q", test.frames, err, test.want)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x04\x00\x00\x00\x02hi\x06\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var sum int
		r := NewReader(bytes.NewReader(data))
		for {
			kind, payload, err := r.Next()
			if err != nil {
				return
			}
			if sum += headerSize + len(payload); kind < Start || kind > Exit || sum > len(data) {
				t.Fatalf("kind %d, %d bytes of %d", kind, sum, len(data))
			}
		}
	})
}
