package chardev

import (
	"log/slog"
	"sync"
	"time"
)

// logInterval is the least time between two log messages of one back end.
const logInterval = 10 * time.Second

// errorLog reports host errors without letting a guest fill the log with them.
type errorLog struct {
	log  *slog.Logger
	name string
	now  func() time.Time

	mu         *sync.Mutex
	last       time.Time
	suppressed int
}

func newErrorLog(log *slog.Logger, name string) errorLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return errorLog{log: log, name: name, now: time.Now, mu: new(sync.Mutex)}
}

// report logs err, or counts it when the last message is too recent.
func (l *errorLog) report(msg string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !l.last.IsZero() && now.Sub(l.last) < logInterval {
		l.suppressed++
		return
	}
	args := []any{"device", l.name, "error", err}
	if l.suppressed > 0 {
		args = append(args, "suppressed", l.suppressed)
	}
	l.log.Warn(msg, args...)
	l.last, l.suppressed = now, 0
}
