package chardevs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/await"
)

// size is how many bytes go each way.
const size = 1 << 20

// What the guest says before the bytes that count, since programs have something
// to say of their own first, and before the program at the other end is there:
// greeting until it has come there, and then begin.
const (
	greeting = "hello\n"
	begin    = "--begin--"
)

// TestMatrix sends random bytes both ways at once, and finds them as they were.
func TestMatrix(t *testing.T) {
	for _, b := range backEnds() {
		for _, f := range frontEnds {
			t.Run(b.name+"/"+f.name, func(t *testing.T) {
				backend, peer := b.open(t, end{t.TempDir(), f.patience})
				g := f.start(t, backend)
				output, input := random(t, "output"), random(t, "input")
				if testing.Short() {
					output, input = output[:size/16], input[:size/16]
				}
				if b.oneWay || f.oneWay {
					input = nil
				}
				l := listen(peer)
				meet(t, g, l)
				window := size
				if b.window > 0 {
					window = b.window
				}
				var ways sync.WaitGroup
				ways.Go(func() {
					for piece := range slices.Chunk(input, window) {
						before := len(g.received())
						if _, err := peer.Write(piece); err != nil {
							t.Error(err)
							return
						}
						await.That(t, "input", func() bool { return len(g.received()) >= before+len(piece) })
					}
				})
				ways.Go(func() {
					for piece := range slices.Chunk(output, window) {
						before := len(l.heard())
						g.write(piece)
						await.That(t, "output", func() bool { return len(l.heard()) >= before+len(piece) || l.ended() != nil })
					}
				})
				ways.Wait()
				if got := l.heard(); !bytes.Equal(got, output) {
					t.Errorf("%d bytes of output arrived of %d, or others; %v", len(got), len(output), l.ended())
				}
				if got := g.received(); !bytes.Equal(got, input) {
					t.Errorf("%d bytes of input arrived of %d, or others", len(got), len(input))
				}
				if s := backend.Stats(); s.Dropped != 0 || s.Errors != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

// meet has the guest begin once the program is there.
func meet(t *testing.T, g *guest, l *listener) {
	t.Helper()
	last := time.Now()
	g.write([]byte(greeting))
	await.That(t, "the greeting", func() bool {
		if time.Since(last) > 100*time.Millisecond { // it may be lost
			g.write([]byte(greeting))
			last = time.Now()
		}
		return bytes.Contains(l.heard(), []byte(greeting))
	})
	g.write([]byte(begin))
	await.That(t, "the beginning", func() bool { return bytes.Contains(l.heard(), []byte(begin)) })
	l.forget()
}

// random is what is sent.
func random(t *testing.T, way string) []byte { return stream(t, way)(size) }

// stream is more of that: a function that returns the next n bytes.
func stream(t *testing.T, way string) func(n int) []byte {
	source := rand.NewChaCha8(sha256.Sum256([]byte(t.Name() + way)))
	return func(n int) []byte {
		p := make([]byte, n)
		_, _ = source.Read(p) // never fails
		return p
	}
}

// listener is what came to a program.
type listener struct {
	mu  sync.Mutex
	got []byte
	err error
}

// listen listens until the end, or an error.
func listen(r io.Reader) *listener {
	l := new(listener)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			l.mu.Lock()
			l.got = append(l.got, buf[:n]...)
			l.err = err
			l.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return l
}

// heard is all until now, of which none may be changed.
func (l *listener) heard() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got
}

func (l *listener) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = nil
}

// ended is the error that there was, nil for none yet.
func (l *listener) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return fmt.Errorf("the program said no more: %w", l.err)
	}
	return nil
}
