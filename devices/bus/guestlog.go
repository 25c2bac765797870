package bus

import (
	"log/slog"
	"sync"
	"time"
)

// A guest can repeat a mistake a million times a second; of each device's
// complaints, the log gets logBurst records and then one every logInterval.
const (
	logBurst    = 10
	logInterval = 10 * time.Second
)

// GuestLog is a logger for what a guest provokes. Ask Allow before every
// record, so that a record that is held back costs no allocation either:
//
//	if d.log.Allow() {
//		d.log.Warn("unknown command", "command", v)
//	}
type GuestLog struct {
	*slog.Logger

	mu      sync.Mutex
	now     func() time.Time
	tokens  int
	refill  time.Time // when the next token is due
	dropped int       // records held back since the last one written
}

// NewGuestLog returns a GuestLog that writes to log, under the attribute
// device=name. A nil log discards everything.
func NewGuestLog(log *slog.Logger, name string) *GuestLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// The host's own clock: when a line may be written is not guest-visible.
	return &GuestLog{Logger: log.With("device", name), now: time.Now, tokens: logBurst}
}

// Allow reports whether a record may be written now. When records were held
// back before, it first says how many.
func (l *GuestLog) Allow() bool {
	l.mu.Lock()
	now := l.now()
	for l.tokens < logBurst && !now.Before(l.refill) {
		l.tokens++
		l.refill = l.refill.Add(logInterval)
	}
	if l.tokens == logBurst {
		l.refill = now.Add(logInterval)
	}
	if l.tokens == 0 {
		l.dropped++
		l.mu.Unlock()
		return false
	}
	l.tokens--
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if dropped > 0 {
		l.Warn("log lines about this device were held back", "count", dropped)
	}
	return true
}
