package bus

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestGuestLog(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	l := NewGuestLog(slog.New(slog.NewTextHandler(&out, nil)), "uart")
	l.now = func() time.Time { return now }
	complain := func(times int) (written int) {
		for range times {
			if l.Allow() {
				l.Warn("bad")
				written++
			}
		}
		return written
	}
	if n := complain(1000); n != logBurst {
		t.Errorf("%d records of the first burst", n)
	}
	now = now.Add(logInterval - 1)
	if n := complain(5); n != 0 {
		t.Errorf("%d records before the interval is over", n)
	}
	now = now.Add(1)
	if n := complain(5); n != 1 {
		t.Errorf("%d records after an interval", n)
	}
	if !strings.Contains(out.String(), "count=995 ") && !strings.Contains(out.String(), "count=995\n") {
		t.Errorf("held back records are not counted: %s", out.String())
	}
	now = now.Add(100 * logInterval)
	if n := complain(1000); n != logBurst {
		t.Errorf("%d records after a long time", n)
	}
	if !strings.Contains(out.String(), "device=uart") {
		t.Error("the device is not named")
	}
}
