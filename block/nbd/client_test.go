package nbd

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

// split makes a vector of pieces of p, some of them empty.
func split(r *rand.Rand, p []byte) (vec [][]byte) {
	for len(p) > 0 {
		n := min(len(p), r.IntN(3)*r.IntN(9000))
		vec = append(vec, p[:n])
		p = p[n:]
	}
	return vec
}

func fill(r *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
}

// exercise applies random operations to a part of the disk, on which it is
// alone, and keeps model the same.
func exercise(c *Client, r *rand.Rand, model []byte, base int64, operations int) error {
	for i := range operations {
		n := r.IntN(min(len(model), 200<<10))
		at := r.IntN(len(model) - n)
		if r.IntN(2) == 0 {
			at, n = at&^4095, n&^4095
		}
		offset, part := base+int64(at), model[at:at+n]
		var err error
		switch op := r.IntN(10); {
		case op < 4:
			fill(r, part)
			err = c.WriteVec(split(r, part), offset)
		case op < 8:
			got := make([]byte, n)
			if err = c.ReadVec(split(r, got), offset); err == nil && !bytes.Equal(got, part) {
				err = errors.New("other data than was written")
			}
		case op < 9:
			clear(part)
			err = c.WriteZeroes(offset, int64(n), r.IntN(2) == 0)
		default:
			if err = c.Discard(offset, int64(n)); err == nil {
				err = c.ReadVec([][]byte{part}, offset)
			}
			if err == nil {
				err = c.Flush()
			}
		}
		if err != nil {
			return fmt.Errorf("operation %d, %d bytes at %d: %w", i, n, offset, err)
		}
	}
	return nil
}

// exerciseAll runs exercise on several parts of the disk at once.
func exerciseAll(t *testing.T, c *Client, seed uint64, model []byte, operations int) {
	t.Helper()
	const parts = 8
	var all sync.WaitGroup
	for i := range parts {
		size := len(model) / parts
		part := model[i*size : (i+1)*size]
		all.Go(func() {
			if err := exercise(c, rand.New(rand.NewPCG(seed, uint64(i))), part, int64(i*size), operations); err != nil {
				t.Errorf("seed %d, part %d: %v", seed, i, err)
			}
		})
	}
	all.Wait()
}

// TestPeers does random I/O on each peer and looks at the image behind it.
func TestPeers(t *testing.T) {
	for name, command := range peers {
		for _, network := range []string{"unix", "tcp"} {
			t.Run(name+"/"+network, func(t *testing.T) {
				s := newServer(t, network, command)
				c := s.open(s.options())
				if c.Size() != imageSize || c.ReadOnly() {
					t.Fatalf("size %d, read-only %v", c.Size(), c.ReadOnly())
				}
				model := make([]byte, imageSize)
				exerciseAll(t, c, 1, model, 40)
				if err := c.Flush(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(s.content(), model) {
					t.Error("the image holds other data than was written")
				}
				if got := make([]byte, 1); !errors.Is(c.ReadVec([][]byte{got}, imageSize), block.ErrOutOfRange) {
					t.Error("a read beyond the end is possible")
				}
			})
		}
	}
}

// TestQemuImg has qemu-img read through its own client what ours wrote.
func TestQemuImg(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	s := newServer(t, "unix", peers["qemu-nbd"])
	c := s.open(s.options())
	model := make([]byte, imageSize)
	exerciseAll(t, c, 2, model, 10)
	copied := s.image + ".copy"
	out, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "raw", "nbd+unix:///disk?socket="+s.address, copied).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, model) {
		t.Errorf("qemu-img reads other data (%v)", err)
	}
}

// TestRestart kills the server again and again in the middle of I/O.
func TestRestart(t *testing.T) {
	for name, network := range map[string]string{"qemu-nbd": "unix", "nbd-server": "tcp", "nbdkit": "tcp"} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, network, peers[name])
			c := s.open(s.options())
			model := make([]byte, imageSize)
			done := make(chan struct{})
			go func() {
				defer close(done)
				exerciseAll(t, c, 3, model, 60)
			}()
			kills := 0
			for running := true; running; {
				before := c.progress()
				for running && c.progress() < before+100 {
					select {
					case <-done:
						running = false
					case <-time.After(time.Millisecond):
					}
				}
				if running && kills < 3 {
					s.kill()
					s.start()
					kills++
				}
			}
			if kills == 0 {
				t.Error("the server was never killed")
			}
			if !bytes.Equal(s.content(), model) {
				t.Error("the image holds other data than was written")
			}
		})
	}
}

// progress is how much has been received on the connection there is.
func (c *Client) progress() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return 0
	}
	return c.conn.in.progress.Load()
}

// TestPatience has requests wait for a server that does not come back, and the
// next one fail at once.
func TestPatience(t *testing.T) {
	s := newServer(t, "unix", peers["qemu-nbd"])
	o := s.options()
	o.Patience = 300 * time.Millisecond
	c := s.open(o)
	s.kill()
	start := time.Now()
	if err := c.WriteVec([][]byte{make([]byte, 512)}, 0); !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "no connection") {
		t.Errorf("write without a server: %v", err)
	}
	if d := time.Since(start); d < o.Patience/2 {
		t.Errorf("failed after %v", d)
	}
	if err := c.Flush(); !errors.Is(err, unix.EIO) {
		t.Errorf("flush without a server: %v", err)
	}
	s.start()
	deadline := time.Now().Add(20 * time.Second)
	for c.ReadVec([][]byte{make([]byte, 512)}, 0) != nil {
		if time.Now().After(deadline) {
			t.Fatal("does not come back to life")
		}
	}
}

// TestGiveUp has a request wait for a lost server no longer than until it is
// told to.
func TestGiveUp(t *testing.T) {
	s := newServer(t, "unix", peers["qemu-nbd"])
	o := s.options()
	o.Patience = time.Hour
	c := s.open(o)
	s.kill()
	failed := make(chan error, 1)
	go func() { failed <- c.WriteVec([][]byte{make([]byte, 512)}, 0) }()
	c.GiveUp()
	if err := <-failed; !errors.Is(err, unix.EIO) {
		t.Errorf("got %v", err)
	}
}

// TestMap finds data and holes by block status.
func TestMap(t *testing.T) {
	for _, name := range []string{"qemu-nbd", "nbdkit"} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, "unix", peers[name])
			c := s.open(s.options())
			if err := c.WriteVec([][]byte{bytes.Repeat([]byte{1}, 64<<10)}, 1<<20); err != nil {
				t.Fatal(err)
			}
			var data int64
			for at := int64(0); at < c.Size(); {
				e, err := c.Map(at, c.Size()-at)
				if err != nil || e.Length < 1 || e.Length > c.Size()-at {
					t.Fatalf("at %d: %+v, %v", at, e, err)
				}
				if !e.Zero {
					if at < 1<<20 || at+e.Length > 1<<20+64<<10 {
						t.Errorf("data at %d: %+v", at, e)
					}
					data += e.Length
				}
				at += e.Length
			}
			if data != 64<<10 {
				t.Errorf("%d bytes of data", data)
			}
		})
	}
}

// TestTLS speaks TLS, with a certificate of the client's, and refuses what is
// not as it should be.
func TestTLS(t *testing.T) {
	dir := certificates(t)
	commands := map[string]func(s *server) []string{
		"qemu-nbd": func(s *server) []string {
			return append([]string{"qemu-nbd", "-t", "-f", "raw", "-x", "disk", "-e", "8", s.image,
				"--object", "tls-creds-x509,id=tls,endpoint=server,verify-peer=on,dir=" + dir, "--tls-creds", "tls"}, s.qemuPlace()...)
		},
		"nbdkit": func(s *server) []string {
			return append([]string{"nbdkit", "-f", "--tls=require", "--tls-verify-peer", "--tls-certificates=" + dir}, append(s.nbdkitPlace(), "file", s.image)...)
		},
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, "tcp", command)
			o := s.options()
			if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "wants TLS") {
				t.Errorf("without TLS: %v", err)
			}
			o.TLS = loadTLS(t, dir, "another.example")
			if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another.example") {
				t.Errorf("with another name: %v", err)
			}
			o.TLS = loadTLS(t, dir, "localhost")
			c := s.open(o)
			model := make([]byte, imageSize)
			exerciseAll(t, c, 4, model, 15)
			if !bytes.Equal(s.content(), model) {
				t.Error("the image holds other data than was written")
			}
		})
	}
	s := newServer(t, "unix", peers["qemu-nbd"])
	o := s.options()
	o.TLS = loadTLS(t, dir, "localhost")
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "has no TLS") {
		t.Errorf("a server without TLS: %v", err)
	}
}

// TestOpenErrors says what is wrong.
func TestOpenErrors(t *testing.T) {
	s := newServer(t, "unix", func(s *server) []string { return append(peers["qemu-nbd"](s), "-r") })
	o := s.options()
	if _, err := Open(t.Context(), o); !errors.Is(err, unix.EROFS) {
		t.Errorf("a read-only export: %v", err)
	}
	o.ReadOnly = true
	c := s.open(o)
	if err := c.WriteVec([][]byte{{1}}, 0); !errors.Is(err, block.ErrReadOnly) {
		t.Errorf("write to a read-only export: %v", err)
	}
	if err := c.Flush(); err != nil {
		t.Errorf("flush of a read-only export: %v", err)
	}
	o.Export = "other"
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), `no export "other"`) {
		t.Errorf("another export: %v", err)
	}
	o.Address += "x"
	if _, err := Open(t.Context(), o); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no server: %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	s := newServer(b, "unix", peers["qemu-nbd"])
	c := s.open(s.options())
	for _, size := range []int{4 << 10, 1 << 20} {
		for _, jobs := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, jobs), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.SetParallelism(jobs)
				b.RunParallel(func(pb *testing.PB) {
					vec := [][]byte{make([]byte, size)}
					for pb.Next() {
						if err := c.ReadVec(vec, 0); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}
