package timer

import (
	"testing"
	"time"
	_ "time/tzdata"
)

// The clock is read right around the turns of days, years, February and summer
// time, in zones on both sides of UTC.
func TestZones(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tt := range []struct {
		zone  string
		boot  time.Time
		after time.Duration // that the clock is read
		want  []uint8
	}{
		{"UTC", at("2028-02-28T23:59:59Z"), time.Second, []uint8{0x20, 0x28, 0x02, 0x29, 3, 0, 0, 0}},
		{"UTC", at("2028-02-29T23:59:59Z"), time.Second, []uint8{0x20, 0x28, 0x03, 0x01, 4, 0, 0, 0}},
		{"UTC", at("2100-02-28T23:59:59Z"), time.Second, []uint8{0x21, 0x00, 0x03, 0x01, 2, 0, 0, 0}},
		{"UTC", at("2026-12-31T23:59:59Z"), time.Second, []uint8{0x20, 0x27, 0x01, 0x01, 6, 0, 0, 0}},
		{"Pacific/Auckland", at("2026-12-31T10:59:59Z"), time.Second, []uint8{0x20, 0x27, 0x01, 0x01, 6, 0, 0, 0}},
		{"Asia/Kathmandu", at("2028-02-28T18:14:59Z"), time.Second, []uint8{0x20, 0x28, 0x02, 0x29, 3, 0, 0, 0}},
		{"America/Los_Angeles", at("2027-01-01T07:59:58Z"), time.Second, []uint8{0x20, 0x26, 0x12, 0x31, 5, 0x23, 0x59, 0x59}},
		// Booted a second before summer time and at its beginning.
		{"Europe/Berlin", at("2026-03-29T00:59:59Z"), 0, []uint8{0x20, 0x26, 0x03, 0x29, 1, 0x01, 0x59, 0x59}},
		{"Europe/Berlin", at("2026-03-29T01:00:00Z"), 0, []uint8{0x20, 0x26, 0x03, 0x29, 1, 0x03, 0x00, 0x00}},
		// It begins while the machine runs.
		{"Europe/Berlin", at("2026-03-29T00:59:59Z"), time.Second, []uint8{0x20, 0x26, 0x03, 0x29, 1, 0x02, 0x00, 0x00}},
		{"Europe/Berlin", at("2026-10-25T00:59:59Z"), 0, []uint8{0x20, 0x26, 0x10, 0x25, 1, 0x02, 0x59, 0x59}},
		{"Europe/Berlin", at("2026-10-25T01:00:00Z"), 0, []uint8{0x20, 0x26, 0x10, 0x25, 1, 0x02, 0x00, 0x00}},
	} {
		zone, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		r := newRTCRig(tt.boot, RTCOptions{Zone: zone})
		r.clock.Advance(tt.after)
		r.expect(t, tt.zone+" "+tt.boot.String(), tt.want...)
	}
}

// A reset after the turn to summer time finds it.
func TestZoneAtReset(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	r := newRTCRig(time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC), RTCOptions{Zone: zone})
	r.clock.Advance(time.Hour)
	r.expect(t, "before the reset", 0x20, 0x26, 0x03, 0x29, 1, 0x02, 0x59, 0x59)
	r.rtc.Reset()
	r.expect(t, "after it", 0x20, 0x26, 0x03, 0x29, 1, 0x03, 0x59, 0x59)
}

// What the guest sets is told, and kept over a reset if the clock is variable.
func TestKeepTime(t *testing.T) {
	for _, keep := range []bool{true, false} {
		var told []time.Duration
		r := newRTCRig(afternoon, RTCOptions{
			Offset: -time.Hour, KeepTime: keep,
			Changed: func(d time.Duration) { told = append(told, d) },
		})
		r.expect(t, "at first", 0x20, 0x09, 0x08, 0x20, 5, 0x14, 0x07, 0x58)
		r.set(regB, b24Hour|bSET)
		r.set(regDay, 0x21)
		r.set(regHours, 0x16)
		if len(told) != 0 {
			t.Errorf("told %v while the clock stands", told)
		}
		r.set(regB, b24Hour)
		if want := 25 * time.Hour; len(told) != 1 || told[0] != want || r.rtc.Offset() != want {
			t.Errorf("told %v, offset %v, want %v", told, r.rtc.Offset(), want)
		}
		r.set(regB, b24Hour|bSET) // and goes on without a change
		r.set(regB, b24Hour)
		r.rtc.Reset()
		if keep {
			r.expect(t, "kept", 0x20, 0x09, 0x08, 0x21, 6, 0x16, 0x07, 0x58)
		} else {
			r.expect(t, "set back", 0x20, 0x09, 0x08, 0x20, 5, 0x14, 0x07, 0x58)
		}
		if len(told) != 1 {
			t.Errorf("told %v", told)
		}
	}
}
