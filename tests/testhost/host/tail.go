package host

import (
	"io"
	"strings"
	"sync"
)

// tail keeps the end of what is written to it.
type tail struct {
	limit int       // bytes kept
	also  io.Writer // gets everything; may be nil

	mu  sync.Mutex
	buf []byte
}

// Write never fails: a reader that went away must not stop the machine.
func (t *tail) Write(p []byte) (int, error) {
	if t.also != nil {
		if _, err := t.also.Write(p); err != nil {
			t.also = nil
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// String returns the kept end, without the line that was cut.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.ReplaceAll(string(t.buf), "\r", "")
	if len(t.buf) == t.limit {
		_, text, _ = strings.Cut(text, "\n")
	}
	return strings.TrimSpace(text)
}

// useful is String without what QEMU says on every start: the processor
// features that it cannot emulate.
func (t *tail) useful() string {
	var lines []string
	for line := range strings.Lines(t.String()) {
		if !strings.Contains(line, "TCG doesn't support") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}
