package main

import (
	"fmt"
	"sync"
	"time"
)

// progressInterval is the time from one look at long work to the next, and what work takes
// before there is anything to be seen of it.
const progressInterval = 200 * time.Millisecond

// progress is a bar on the terminal for work that takes long.
type progress struct {
	to    *screen
	shown bool // whether there is a terminal

	mu    sync.Mutex
	next  time.Time // when the bar is drawn again
	drawn bool
}

// showProgress begins to show work. end must be called.
func (a *app) showProgress() *progress {
	now := time.Now()
	return &progress{to: a.stderr, shown: isTerminal(a.stderr.file), next: now.Add(progressInterval)}
}

// show draws the bar, now and then. It may be called by several goroutines.
func (p *progress) show(done, total uint64) {
	if !p.shown {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next, p.drawn = now.Add(progressInterval), true
	fmt.Fprint(p.to, "\r"+progressBar(done, total))
}

// end takes the bar away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		p.drawn = false
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// progressBar shows how much of something is done.
func progressBar(done, total uint64) string {
	const width = 40
	full := 0
	if total > 0 {
		full = int(done * width / total)
	}
	bar := make([]byte, width)
	for i := range bar {
		bar[i] = '.'
		if i < full {
			bar[i] = '='
		}
	}
	return fmt.Sprintf("[%s] %d of %d MiB", bar, done>>20, total>>20)
}
