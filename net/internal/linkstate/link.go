// Package linkstate holds whether a network link is up, for host ends of NICs.
package linkstate

import "sync"

// Link is the state of a link and who wants to know of its changes. The zero value
// is down.
type Link struct {
	calling sync.Mutex // held around calls, so that they come in order
	mu      sync.Mutex
	up      bool
	closed  bool
	f       func(up bool)
}

// Get reports whether it is up.
func (l *Link) Get() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// Listen sets the function that is told of changes, in place of the one before.
func (l *Link) Listen(f func(up bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.f = f
	}
}

// Set takes the link up or down, and tells of it if that is a change.
func (l *Link) Set(up bool) {
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

// Close takes the link down for good, without telling anybody.
func (l *Link) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up, l.closed, l.f = false, true, nil
}
