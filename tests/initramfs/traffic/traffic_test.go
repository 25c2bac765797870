package traffic

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestPatternAnywhere(t *testing.T) {
	whole := make([]byte, 100)
	Fill(whole, 3, 0)
	for from := range 20 {
		for to := from; to < len(whole); to++ {
			part := make([]byte, to-from)
			Fill(part, 3, uint64(from))
			if !bytes.Equal(part, whole[from:to]) {
				t.Fatalf("bytes %d to %d differ from those of the whole", from, to)
			}
			if err := Check(part, 3, uint64(from)); err != nil {
				t.Fatalf("bytes %d to %d: %v", from, to, err)
			}
		}
	}
}

func TestCheckFinds(t *testing.T) {
	good := make([]byte, 64)
	Fill(good, 1, 5)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if Check(bad, 1, 5) == nil {
			t.Errorf("a wrong byte at %d is not seen", i)
		}
	}
	if Check(good, 2, 5) == nil {
		t.Error("another stream is not seen")
	}
	if Check(good, 1, 13) == nil {
		t.Error("a stream that is moved by a word is not seen")
	}
}

func TestExchange(t *testing.T) {
	const length = 1<<20 + 3
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	done := make(chan error, 1)
	go func() { done <- Exchange(there, length, 2, 1) }()
	if err := errors.Join(Exchange(here, length, 1, 2), <-done); err != nil {
		t.Error(err)
	}
}

func TestReceiveErrors(t *testing.T) {
	short := &Source{Seed: 1, Length: 10}
	if err := Receive(short, 11, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a stream that ends early: %v", err)
	}
	if err := Receive(&Source{Seed: 2, Length: 10}, 10, 1); err == nil || !strings.Contains(err.Error(), "the byte at 0 is") {
		t.Errorf("another stream: %v", err)
	}
	long := &Source{Seed: 1, Length: 10}
	if err := Receive(long, 4, 1); err != nil || long.read != 4 {
		t.Errorf("receiving 4 bytes read %d: %v", long.read, err)
	}
}

func TestChecksum(t *testing.T) {
	for _, test := range []struct {
		message []byte
		want    uint16
	}{
		{nil, 0xFFFF},
		{[]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, ^uint16(0xddf2)}, // RFC 1071, section 3
		{[]byte{0x12, 0x34, 0x56}, ^uint16(0x6834)},
	} {
		if got := checksum(test.message); got != test.want {
			t.Errorf("checksum(% x) = %#x, want %#x", test.message, got, test.want)
		}
	}
}

func TestPing(t *testing.T) {
	if err := Ping("127.0.0.1", 2, 1001, 10*time.Second); err != nil {
		t.Errorf("this test needs root: %v", err)
	}
	if err := Ping("nosuch", 1, 1, time.Second); err == nil {
		t.Error("an address that is none has been reached")
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(uint64(1), uint64(7), uint16(33), uint16(20))
	f.Fuzz(func(t *testing.T, seed, offset uint64, length, wrong uint16) {
		p := make([]byte, length)
		Fill(p, seed, offset)
		if err := Check(p, seed, offset); err != nil {
			t.Fatal(err)
		}
		if int(wrong) < len(p) {
			p[wrong]++
			if Check(p, seed, offset) == nil {
				t.Fatalf("a wrong byte at %d is not seen", wrong)
			}
		}
	})
}
