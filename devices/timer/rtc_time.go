package timer

import "time"

// held reports whether the divider chain is held in reset: any setting but the
// three oscillator frequencies.
func (s *RTCState) held() bool { return s.RAM[regA]&aDivider > 0x20 }

// running reports whether the time of day advances.
func (s *RTCState) running() bool { return s.RAM[regB]&bSET == 0 && !s.held() }

// now is the RTC's time: seconds since 1970 and nanoseconds. While the clock
// stands it is what the time would be had it gone on.
func (r *RTC) now() (seconds, nanoseconds int64) {
	wall := r.wall()
	seconds = wall.Unix() + r.s.OffsetSeconds
	nanoseconds = int64(wall.Nanosecond()) + r.s.OffsetNanoseconds
	if nanoseconds >= int64(time.Second) {
		seconds++
		nanoseconds -= int64(time.Second)
	}
	return seconds, nanoseconds
}

// setOffset makes the RTC run ahead of the wall clock by d.
func (s *RTCState) setOffset(d time.Duration) {
	s.OffsetSeconds = int64(d / time.Second)
	s.OffsetNanoseconds = int64(d % time.Second)
	if s.OffsetNanoseconds < 0 {
		s.OffsetSeconds--
		s.OffsetNanoseconds += int64(time.Second)
	}
}

// offset is how far the RTC runs ahead.
func (s *RTCState) offset() time.Duration {
	const limit = int64(1<<63-1)/int64(time.Second) - 1
	seconds := min(max(s.OffsetSeconds, -limit), limit)
	return time.Duration(seconds)*time.Second + time.Duration(s.OffsetNanoseconds)
}

// shift moves the RTC's time by less than a second.
func (r *RTC) shift(nanoseconds int64) {
	n := r.s.OffsetNanoseconds + nanoseconds
	switch {
	case n < 0:
		n += int64(time.Second)
		r.s.OffsetSeconds--
	case n >= int64(time.Second):
		n -= int64(time.Second)
		r.s.OffsetSeconds++
	}
	r.s.OffsetNanoseconds = n
}

// latch puts the time of day into its registers, if the clock runs.
func (r *RTC) latch() {
	if r.s.running() {
		r.show()
	}
}

// show puts the time of day into its registers.
func (r *RTC) show() {
	seconds, _ := r.now()
	t := time.Unix(seconds, 0).UTC()
	s := &r.s
	s.RAM[regSeconds] = s.encode(t.Second())
	s.RAM[regMinutes] = s.encode(t.Minute())
	s.RAM[regHours] = s.encodeHour(t.Hour())
	s.RAM[regWeekday] = s.encode(int(t.Weekday()) + 1)
	s.RAM[regDay] = s.encode(t.Day())
	s.RAM[regMonth] = s.encode(int(t.Month()))
	s.RAM[regYear] = s.encode(t.Year() % 100)
	s.RAM[regCentury] = s.encode(t.Year() / 100 % 100)
}

// setTime makes the registers the time of day, within the second that goes on.
// Values out of range carry over, as February 30 to March.
func (r *RTC) setTime() {
	s := &r.s
	year := 100*s.decode(s.RAM[regCentury]) + s.decode(s.RAM[regYear])
	t := time.Date(year, time.Month(s.decode(s.RAM[regMonth])), s.decode(s.RAM[regDay]),
		s.decodeHour(s.RAM[regHours]), s.decode(s.RAM[regMinutes]), s.decode(s.RAM[regSeconds]), 0, time.UTC)
	seconds, _ := r.now()
	s.SeenSecond = t.Unix()
	if change := t.Unix() - seconds; change != 0 {
		s.OffsetSeconds += change
		if r.changed != nil {
			r.changed(s.offset())
		}
	}
}

// encode gives a number below 100 in the guest's choice of BCD or binary.
func (s *RTCState) encode(v int) uint8 {
	if s.RAM[regB]&bBinary != 0 {
		return uint8(v)
	}
	return uint8(v/10<<4 | v%10)
}

func (s *RTCState) decode(v uint8) int {
	if s.RAM[regB]&bBinary != 0 {
		return int(v)
	}
	return 10*int(v>>4) + int(v&15)
}

// In 12-hour mode, the hours are 12, 1 to 11, and bit 7 says p.m.
const pm = 0x80

func (s *RTCState) encodeHour(h int) uint8 {
	if s.RAM[regB]&b24Hour != 0 {
		return s.encode(h)
	}
	v := s.encode((h+11)%12 + 1)
	if h >= 12 {
		v |= pm
	}
	return v
}

func (s *RTCState) decodeHour(v uint8) int {
	if s.RAM[regB]&b24Hour != 0 {
		return s.decode(v)
	}
	h := s.decode(v&^pm) % 12
	if v&pm != 0 {
		h += 12
	}
	return h
}

// nextAlarm is the first second after the given one that the alarm registers
// match; ok is false when they match none. A register from 0xC0 on matches
// everything.
func (s *RTCState) nextAlarm(after int64) (second int64, ok bool) {
	const anything = 0xC0
	matches := func(reg uint8, v int) bool {
		alarm := s.RAM[reg]
		if alarm >= anything {
			return true
		}
		if reg == regHoursAlarm {
			return s.decodeHour(alarm) == v
		}
		return s.decode(alarm) == v
	}
	const day = 24 * 60 * 60
	midnight := after - (after%day+day)%day
	// Whole hours and minutes in the past are passed over, which leaves a few
	// hundred steps at most; tomorrow has every match that today had.
	for hour := range 48 {
		start := midnight + int64(hour)*3600
		if start+3600 <= after+1 || !matches(regHoursAlarm, hour%24) {
			continue
		}
		for minute := range 60 {
			start := start + int64(minute)*60
			if start+60 <= after+1 || !matches(regMinutesAlarm, minute) {
				continue
			}
			for second := range 60 {
				at := start + int64(second)
				if at > after && matches(regSecondsAlarm, second) {
					return at, true
				}
			}
		}
	}
	return 0, false
}
