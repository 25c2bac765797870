package console

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// newPtyPort is a guest with port 1 open, whose host end is a pty with a client.
func newPtyPort(t *testing.T, patience time.Duration) (*guest, *chardev.Pty, *os.File) {
	t.Helper()
	pty, err := chardev.OpenPty(chardev.PtyOptions{Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pty.Close() })
	g := newGuest(t, queuetest.Options{EventIndex: true}, Options{Ports: []Port{{ID: 1, Backend: pty}}})
	g.activate(multiport, 1)
	client := openClient(t, pty)
	g.open(1)
	return g, pty, client
}

func openClient(t *testing.T, pty *chardev.Pty) *os.File {
	t.Helper()
	client, err := os.OpenFile(pty.Name(), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// TestSlowClient: 1 MiB goes through a port to a client that takes its time, and
// none of it is lost on the way or in the end.
func TestSlowClient(t *testing.T) {
	const size, bufSize = 1 << 20, 4 << 10
	g, pty, client := newPtyPort(t, 0)
	random := rand.NewChaCha8(sha256.Sum256([]byte(t.Name())))
	want := make([]byte, size)
	if _, err := random.Read(want); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		var all []byte
		for buf := make([]byte, 2000); len(all) < size; <-tick.C {
			n, err := client.Read(buf)
			if all = append(all, buf[:n]...); err != nil {
				break
			}
		}
		got <- all
	}()
	tx := g.q[5]
	b := tx.Writable(bufSize)
	b.Write = false
	for at := 0; at < size; at += bufSize {
		copy(tx.Bytes(b), want[at:])
		tx.Do(b)
	}
	g.dev.Reset()
	if err := pty.Close(); err != nil {
		t.Error(err)
	}
	if all := <-got; string(all) != string(want) {
		t.Errorf("%d bytes arrived of %d, or others", len(all), size)
	}
	if s := pty.Stats(); s != (chardev.Stats{Out: size}) {
		t.Errorf("stats %+v", s)
	}
}

// TestClientsComeAndGo: a port that waits for a client goes on when that leaves,
// or when it takes nothing for too long; the next client finds the last output.
func TestClientsComeAndGo(t *testing.T) {
	for name, patience := range map[string]time.Duration{"leaves": chardev.Endless, "stalls": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			g, pty, client := newPtyPort(t, patience)
			const bufSize = 16 << 10
			tx := g.q[5]
			// More than the buffer and the kernel hold: the last ones wait.
			const most = 2 * chardev.BufferSize / bufSize
			for i := range most {
				b := tx.Readable(make([]byte, bufSize))
				tx.Bytes(b)[0] = byte(i)
				tx.Add(b)
			}
			tx.Kick()
			if name == "leaves" {
				await.That(t, "the buffer full", func() bool { return pty.Stats().Out > 0 && pty.Write([]byte("x")) == 0 })
				if s := pty.Stats(); s.Dropped != 0 {
					t.Errorf("stats with a client: %+v", s)
				}
				client.Close()
			}
			for range most {
				tx.Wait()
			}
			if s := pty.Stats(); s.Dropped == 0 {
				t.Errorf("stats without: %+v", s)
			}
			g.write(1, "welcome back")
			tx.Wait()
			if name == "leaves" {
				client = openClient(t, pty)
			}
			all := ""
			buf := make([]byte, bufSize)
			for len(all) < 12 || all[len(all)-12:] != "welcome back" {
				if err := client.SetReadDeadline(time.Now().Add(await.Patience)); err != nil {
					t.Fatal(err)
				}
				n, err := client.Read(buf)
				if err != nil && err != io.EOF {
					t.Fatalf("after %d bytes: %v", len(all), err)
				}
				all += string(buf[:n])
			}
			if len(all) < chardev.BufferSize {
				t.Errorf("%d bytes were kept, want %d", len(all), chardev.BufferSize)
			}
			client.Close()
			g.dev.Reset()
			if err := pty.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
