package integration

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"
)

// transcript keeps all that is written to it, and lets tests wait for text.
type transcript struct {
	mu      sync.Mutex
	text    []byte
	read    int           // what expect has gone past
	ended   bool          // nothing more will come
	inVain  int           // how much text there was when a wait last ended in vain; 0 for never
	changed chan struct{} // closed, and replaced, when something happens
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

// Write appends p.
func (tr *transcript) Write(p []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.text = append(tr.text, p...)
	tr.wake()
	return len(p), nil
}

// end says that nothing more will come.
func (tr *transcript) end() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ended = true
	tr.wake()
}

func (tr *transcript) wake() {
	close(tr.changed)
	tr.changed = make(chan struct{})
}

// String is all that was written.
func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return string(tr.text)
}

// tail is the end of what was written, for a failure's log.
func (tr *transcript) tail() string {
	const enough = 4000
	text := tr.String()
	return text[max(0, len(text)-enough):]
}

// expect waits for the first match of re behind that of the last call, and
// returns it and its submatches.
func (tr *transcript) expect(ctx context.Context, re *regexp.Regexp) (match []string, err error) {
	err = tr.wait(ctx, re, func() bool {
		unread := string(tr.text[tr.read:])
		at := re.FindStringSubmatchIndex(unread)
		if at == nil {
			return false
		}
		tr.read += at[1]
		match = re.FindStringSubmatch(unread)
		return true
	})
	return match, err
}

// contains waits for a match of re anywhere, and does not count as reading.
func (tr *transcript) contains(ctx context.Context, re *regexp.Regexp) error {
	return tr.wait(ctx, re, func() bool { return re.Match(tr.text) })
}

// wait waits until found, which it calls with the lock held.
func (tr *transcript) wait(ctx context.Context, re *regexp.Regexp, found func() bool) error {
	for {
		tr.mu.Lock()
		ok, ended, changed := found(), tr.ended, tr.changed
		silent := tr.inVain > 0 && tr.inVain == len(tr.text)
		tr.mu.Unlock()
		switch {
		case ok:
			return nil
		case ended:
			return fmt.Errorf("the output ended without %q", re)
		case silent:
			return fmt.Errorf("no %q: nothing came since the wait before, which was in vain", re)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			tr.mu.Lock()
			tr.inVain = len(tr.text)
			tr.mu.Unlock()
			return fmt.Errorf("no %q: %w", re, context.Cause(ctx))
		}
	}
}

// skip makes expect go on behind all that was written.
func (tr *transcript) skip() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.read = len(tr.text)
}

// quiet waits until nothing has been written for a time.
func (tr *transcript) quiet(ctx context.Context, d time.Duration) error {
	for {
		tr.mu.Lock()
		changed := tr.changed
		tr.mu.Unlock()
		silence := time.NewTimer(d)
		select {
		case <-silence.C:
			return nil
		case <-changed:
			silence.Stop()
		case <-ctx.Done():
			silence.Stop()
			return errors.New("the output does not stop")
		}
	}
}
