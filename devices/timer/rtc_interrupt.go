package timer

import "time"

// alarmRecheck is how long an armed alarm sleeps at most: the wall clock may be
// set, or run on while the machine is paused.
const alarmRecheck = time.Minute

// period is the periodic interrupt's, in crystal ticks; 0 is none. Rates 1 and
// 2 are the same as 8 and 9 (MC146818, table 5).
func (s *RTCState) period() int64 {
	rate := s.RAM[regA] & aRate
	if rate == 0 || s.held() {
		return 0
	}
	if rate <= 2 {
		rate += 7
	}
	return 1 << (rate - 1)
}

// flag sets the flags of register C for what has happened since it was last
// called. It must be called before anything changes that it depends on.
func (r *RTC) flag() {
	s := &r.s
	r.flagPeriodic()
	if s.running() {
		second, _ := r.now()
		if second > s.SeenSecond {
			s.RAM[regC] |= cUF
			if at, ok := s.nextAlarm(s.SeenSecond); ok && at <= second {
				s.RAM[regC] |= cAF
			}
		}
		s.SeenSecond = second
	}
	if s.RAM[regC]&s.RAM[regB]&(cPF|cAF|cUF) != 0 {
		s.RAM[regC] |= cIRQF
	}
}

// flagPeriodic sets PF. Without its interrupt it is a plain flag. With it, what
// comes while PF is still set was missed by the guest, and the tick policy says
// when PF is set again for that.
func (r *RTC) flagPeriodic() {
	s := &r.s
	now := r.clock.Now()
	tick := ticksAt(now, crystal)
	p := s.period()
	var due int64
	if p != 0 {
		due = tick/p - s.SeenPeriodic/p
	}
	s.SeenPeriodic = tick
	flagged := s.RAM[regC]&cPF != 0
	switch {
	case s.RAM[regB]&bPIE == 0 || p == 0:
		s.Ticks.restart()
		s.Ticks.Owed = 0
		if due > 0 {
			s.RAM[regC] |= cPF
		}
		return
	case flagged && r.ticks.Policy == TickDiscard:
		return
	case due > 0:
		s.Ticks.due(&r.ticks, due, timeOf(p, crystal))
	}
	if !flagged && s.Ticks.take(&r.ticks, now, timeOf(p, crystal)) {
		s.RAM[regC] |= cPF
	}
}

// update drives the interrupt output and arms the timer for the next event
// that would raise it. mu is held, also while the line is set: its changes must
// arrive in order.
func (r *RTC) update() {
	s := &r.s
	s.RAM[regC] &^= cIRQF
	if s.RAM[regC]&s.RAM[regB]&(cPF|cAF|cUF) != 0 {
		s.RAM[regC] |= cIRQF
	}
	if level := s.RAM[regC]&cIRQF != 0; level != s.Asserted {
		s.Asserted = level
		r.irq.Set(level)
	}
	if deadline, ok := r.nextEvent(); ok {
		r.timer.Set(deadline)
		return
	}
	r.timer.Stop()
}

// nextEvent is when the next enabled interrupt is due whose flag is not set
// already.
func (r *RTC) nextEvent() (deadline time.Duration, ok bool) {
	s := &r.s
	waits := s.RAM[regB] &^ s.RAM[regC]
	at := func(t time.Duration) {
		if !ok || t < deadline {
			deadline, ok = t, true
		}
	}
	if p := s.period(); p != 0 && waits&cPF != 0 {
		due := timeOf((s.SeenPeriodic/p+1)*p, crystal)
		next, _ := s.Ticks.next(&r.ticks, due, true, timeOf(p, crystal))
		at(next)
	}
	if waits&(cUF|cAF) == 0 || !s.running() {
		return deadline, ok
	}
	now := r.clock.Now()
	second, nsec := r.now()
	if waits&cUF != 0 {
		at(now + time.Second - time.Duration(nsec))
	}
	if waits&cAF != 0 {
		if alarm, found := s.nextAlarm(second); found {
			wait := min(alarm-second, int64(alarmRecheck/time.Second))
			at(now + time.Duration(wait)*time.Second - time.Duration(nsec))
		}
	}
	return deadline, ok
}

// expire runs when an enabled interrupt is due.
func (r *RTC) expire() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flag()
	r.update()
}
