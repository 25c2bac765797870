package block

import (
	"testing"
	"time"
)

// What is slow depends on how long a request takes that is handed over.
func TestRecordLimit(t *testing.T) {
	for _, test := range []struct {
		name   string
		handed []time.Duration
		want   time.Duration
	}{
		{"nothing known", nil, shortWrite},
		{"a fast host", []time.Duration{15 * time.Microsecond, 12 * time.Microsecond}, shortWrite},
		{"a slow host", []time.Duration{4 * time.Millisecond}, 3 * time.Millisecond},
		{"one slow request among others", []time.Duration{time.Millisecond, 9 * time.Millisecond}, 1500 * time.Microsecond},
	} {
		var a record
		for _, d := range test.handed {
			a.observe(d)
		}
		if got := a.limit(shortWrite); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// After slow requests others are tried rarely, and one that is good is enough.
func TestRecordRecovers(t *testing.T) {
	var a record
	for a.good() {
		a.add(true)
	}
	tries := 0
	for range 4 * retryAfter {
		if a.good() {
			tries++
			a.add(true)
		}
	}
	if tries != 4 {
		t.Errorf("%d requests of %d were tried, want 4", tries, 4*retryAfter)
	}
	for !a.good() {
	}
	a.add(false)
	if !a.good() {
		t.Error("a good try does not bring the others back")
	}
}
