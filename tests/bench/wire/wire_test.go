package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// pair is a host that serves, and the guest's end.
func pair(t *testing.T) (guest Socket, served chan error) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	served = make(chan error, 1)
	go func() {
		served <- Serve(Socket(fds[1]))
		unix.Close(fds[1])
	}()
	return Socket(fds[0]), served
}

func TestSend(t *testing.T) {
	guest, served := pair(t)
	defer unix.Close(int(guest))
	if _, err := guest.Write(append([]byte{Send}, make([]byte, 3*Chunk+5)...)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Shutdown(int(guest), unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	var count [8]byte
	if _, err := io.ReadFull(guest, count[:]); err != nil {
		t.Fatal(err)
	}
	if n := binary.LittleEndian.Uint64(count[:]); n != 3*Chunk+5 {
		t.Errorf("%d bytes arrived", n)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestReceive(t *testing.T) {
	guest, served := pair(t)
	if _, err := guest.Write([]byte{Receive}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(guest, make([]byte, 3*Chunk)); err != nil {
		t.Fatal(err)
	}
	unix.Close(int(guest))
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestEcho(t *testing.T) {
	guest, served := pair(t)
	if _, err := guest.Write([]byte{Echo}); err != nil {
		t.Fatal(err)
	}
	for _, b := range []byte("abc") {
		got := []byte{0}
		if _, err := guest.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(guest, got); err != nil || !bytes.Equal(got, []byte{b}) {
			t.Errorf("%q came back as %q, %v", b, got, err)
		}
	}
	unix.Close(int(guest))
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestNonsense(t *testing.T) {
	guest, served := pair(t)
	if _, err := guest.Write([]byte{'?'}); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err == nil {
		t.Error("it is served")
	}
	unix.Close(int(guest))
	guest, served = pair(t)
	unix.Close(int(guest))
	if err := <-served; !errors.Is(err, io.EOF) {
		t.Errorf("nothing: %v", err)
	}
}
