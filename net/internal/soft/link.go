package soft

import "sync"

// link is the state of a link and who wants to know of its changes.
type link struct {
	calling sync.Mutex // held around calls, so that they come in order
	mu      sync.Mutex
	up      bool
	closed  bool
	f       func(up bool)
}

func (l *link) get() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

func (l *link) listen(f func(up bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.f = f
	}
}

func (l *link) set(up bool) {
	l.calling.Lock()
	defer l.calling.Unlock()
	l.mu.Lock()
	changed := l.up != up && !l.closed
	if changed {
		l.up = up
	}
	f := l.f
	l.mu.Unlock()
	if changed && f != nil {
		f(up)
	}
}

// close takes the link down without telling anybody.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.closed, l.f = false, true, nil
}
