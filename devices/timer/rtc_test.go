package timer

import (
	"testing"
	"time"

	"github.com/govmm/govmm/devices/clock"
)

// rtcRig is an RTC whose wall clock goes with the fake clock.
type rtcRig struct {
	clock  clock.Fake
	epoch  time.Time
	rtc    *RTC
	level  bool
	raised []time.Duration
}

func newRTCRig(epoch time.Time, o RTCOptions) *rtcRig {
	r := &rtcRig{epoch: epoch}
	o.Clock, o.Wall, o.IRQ = &r.clock, r.wall, r
	r.rtc = NewRTC(o)
	return r
}

func (r *rtcRig) wall() time.Time { return r.epoch.Add(r.clock.Now()) }

func (r *rtcRig) Set(asserted bool) {
	r.level = asserted
	if asserted {
		r.raised = append(r.raised, r.clock.Now())
	}
}

func (r *rtcRig) get(reg uint8) uint8 {
	data := []byte{reg}
	r.rtc.Write(0, data)
	r.rtc.Read(1, data)
	return data[0]
}

func (r *rtcRig) set(reg, v uint8) {
	r.rtc.Write(0, []byte{reg})
	r.rtc.Write(1, []byte{v})
}

func (r *rtcRig) registers(regs ...uint8) (values []uint8) {
	for _, reg := range regs {
		values = append(values, r.get(reg))
	}
	return values
}

var timeRegisters = []uint8{regCentury, regYear, regMonth, regDay, regWeekday, regHours, regMinutes, regSeconds}

func (r *rtcRig) expect(t *testing.T, what string, want ...uint8) {
	t.Helper()
	if got := r.registers(timeRegisters...); string(got) != string(want) {
		t.Errorf("%s: %x, want %x", what, got, want)
	}
}

// afternoon is Thursday, August 20, 2009, 15:07:58 UTC, and half a second.
var afternoon = time.Date(2009, 8, 20, 15, 7, 58, 5e8, time.UTC)

func TestTimeFormats(t *testing.T) {
	tests := []struct {
		name  string
		b     uint8
		epoch time.Time
		want  []uint8
	}{
		{"BCD, 24 hours", b24Hour, afternoon, []uint8{0x20, 0x09, 0x08, 0x20, 5, 0x15, 0x07, 0x58}},
		{"binary, 24 hours", b24Hour | bBinary, afternoon, []uint8{20, 9, 8, 20, 5, 15, 7, 58}},
		{"BCD, 12 hours", 0, afternoon, []uint8{0x20, 0x09, 0x08, 0x20, 5, 0x83, 0x07, 0x58}},
		{"binary, 12 hours", bBinary, afternoon, []uint8{20, 9, 8, 20, 5, 0x83, 7, 58}},
		{"midnight", 0, time.Date(1999, 12, 26, 0, 0, 0, 0, time.UTC), []uint8{0x19, 0x99, 0x12, 0x26, 1, 0x12, 0, 0}},
		{"noon", 0, time.Date(2000, 2, 29, 12, 0, 0, 0, time.UTC), []uint8{0x20, 0x00, 0x02, 0x29, 3, 0x92, 0, 0}},
		{"11 p.m.", 0, time.Date(2000, 2, 29, 23, 59, 0, 0, time.UTC), []uint8{0x20, 0x00, 0x02, 0x29, 3, 0x91, 0x59, 0}},
		{"a zone of its own", b24Hour, afternoon.In(time.FixedZone("", 3600)), []uint8{0x20, 0x09, 0x08, 0x20, 5, 0x15, 0x07, 0x58}},
	}
	for _, tt := range tests {
		r := newRTCRig(tt.epoch, RTCOptions{})
		r.set(regB, tt.b)
		r.expect(t, tt.name, tt.want...)
	}
}

func TestOffset(t *testing.T) {
	for _, offset := range []time.Duration{0, time.Hour + 700*time.Millisecond, -time.Hour - 700*time.Millisecond} {
		r := newRTCRig(afternoon, RTCOptions{Offset: offset})
		if got := r.rtc.Offset(); got != offset {
			t.Errorf("offset %v, want %v", got, offset)
		}
		want := afternoon.Add(offset)
		if m, s := r.get(regMinutes), r.get(regSeconds); int(m>>4*10+m&15) != want.Minute() || int(s>>4*10+s&15) != want.Second() {
			t.Errorf("offset %v: shows %x:%x, want %v", offset, m, s, want)
		}
	}
}

// TestSetTime sets the clock as PC operating systems do: SET, divider reset,
// registers, and back.
func TestSetTime(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{KeepTime: true})
	r.set(regB, b24Hour|bSET|bUIE)
	if v := r.get(regB); v != b24Hour|bSET {
		t.Errorf("register B is %x: SET clears UIE", v)
	}
	r.set(regA, 0x76)
	r.clock.Advance(5 * time.Second)
	r.expect(t, "stopped", 0x20, 0x09, 0x08, 0x20, 5, 0x15, 0x07, 0x58)
	for i, v := range []uint8{0x20, 0x38, 0x01, 0x19, 0, 0x03, 0x14, 0x07} {
		if reg := timeRegisters[i]; reg != regWeekday {
			r.set(reg, v)
		}
	}
	r.set(regB, b24Hour)
	r.clock.Advance(time.Second)
	r.expect(t, "set, divider held", 0x20, 0x38, 0x01, 0x19, 5, 0x03, 0x14, 0x07)
	r.set(regA, 0x26)
	r.clock.Advance(500*time.Millisecond - 1)
	r.expect(t, "half a second after the divider", 0x20, 0x38, 0x01, 0x19, 3, 0x03, 0x14, 0x07)
	r.clock.Advance(1)
	r.expect(t, "then", 0x20, 0x38, 0x01, 0x19, 3, 0x03, 0x14, 0x08)
	r.rtc.Reset()
	r.clock.Advance(24 * time.Hour)
	r.expect(t, "kept over a reset", 0x20, 0x38, 0x01, 0x20, 4, 0x03, 0x14, 0x08)
	want := time.Date(2038, 1, 20, 3, 14, 8, 0, time.UTC).Sub(r.wall())
	if got := r.rtc.Offset(); got != want {
		t.Errorf("offset %v, want %v", got, want)
	}
}

func TestSetTimeWhileRunning(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.set(regMinutes, 0x59)
	r.set(regWeekday, 1)
	r.clock.Advance(2 * time.Second)
	r.expect(t, "an hour later", 0x20, 0x09, 0x08, 0x20, 5, 0x16, 0x00, 0x00)
	r.set(regMonth, 0x13) // carries over
	r.expect(t, "month 13", 0x20, 0x10, 0x01, 0x20, 4, 0x16, 0x00, 0x00)
}

func TestOffsetIsCutOff(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.set(regCentury, 0x99)
	if got := r.rtc.Offset(); got < 290*365*24*time.Hour {
		t.Errorf("offset %v", got)
	}
	r.expect(t, "far future", 0x99, 0x09, 0x08, 0x20, 6, 0x15, 0x07, 0x58)
}

func TestUpdateInProgress(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.clock.Advance(500*time.Millisecond - updateInProgress - 1)
	if r.get(regA) != 0x26 {
		t.Error("UIP too early")
	}
	r.clock.Advance(1)
	if r.get(regA) != 0xA6 {
		t.Error("no UIP before the update")
	}
	r.clock.Advance(updateInProgress)
	if r.get(regA) != 0x26 || r.get(regSeconds) != 0x59 {
		t.Error("UIP after the update")
	}
	r.clock.Advance(time.Second - 1)
	r.set(regB, b24Hour|bSET)
	if r.get(regA) != 0x26 {
		t.Error("UIP while SET")
	}
	r.set(regA, 0xA6)
	if r.get(regA) != 0x26 {
		t.Error("UIP was written")
	}
}

func TestUpdateInterrupt(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.get(regC)
	r.set(regB, b24Hour|bUIE)
	r.clock.Advance(500*time.Millisecond - 1)
	if r.level {
		t.Fatal("interrupt before the update")
	}
	r.clock.Advance(1)
	if !r.level {
		t.Fatal("no update interrupt")
	}
	r.clock.Advance(3 * time.Second)
	if len(r.raised) != 1 {
		t.Errorf("raised %d times, unread", len(r.raised))
	}
	if v := r.get(regC); v&^cPF != cIRQF|cUF || r.level {
		t.Errorf("register C %x, line %v", v, r.level)
	}
	if v := r.get(regC); v != 0 {
		t.Errorf("register C %x when read again", v)
	}
	r.clock.Advance(time.Second)
	if !r.level {
		t.Error("no second interrupt")
	}
	r.set(regB, b24Hour)
	if r.level {
		t.Error("a disabled interrupt is asserted")
	}
	r.set(regB, b24Hour|bUIE) // the flag is still set
	if !r.level {
		t.Error("enabling a pending interrupt does not raise it")
	}
	r.rtc.Reset()
	if r.level || r.get(regC) != 0 || r.get(regB) != b24Hour {
		t.Error("reset does not clear interrupts")
	}
}

func TestPeriodicRates(t *testing.T) {
	for rate, want := range map[uint8]time.Duration{
		1: 3906250, 2: 7812500, 3: 122070, 6: 976562, 15: 500 * time.Millisecond,
	} {
		r := newRTCRig(afternoon, RTCOptions{})
		r.set(regA, 0x20|rate)
		r.set(regB, b24Hour|bPIE)
		r.get(regC)
		begin := r.clock.Now()
		const n = 100
		for i := range n {
			for !r.level {
				deadline, ok := r.clock.Next()
				if !ok {
					t.Fatalf("rate %d: nothing armed", rate)
				}
				r.clock.Advance(deadline - r.clock.Now())
			}
			if v := r.get(regC); v&^cUF != cIRQF|cPF {
				t.Fatalf("rate %d: register C %x at %d", rate, v, i)
			}
		}
		if got := (r.clock.Now() - begin) / n; got < want-1 || got > want+1 {
			t.Errorf("rate %d: period %v, want %v", rate, got, want)
		}
	}
}

func TestAlarm(t *testing.T) {
	tests := []struct {
		name    string
		b       uint8
		h, m, s uint8
		want    time.Duration // after afternoon; 0 is never
	}{
		{"every second", b24Hour, 0xFF, 0xC0, 0xFF, 500 * time.Millisecond},
		{"every minute", b24Hour, 0xFF, 0xFF, 0x30, 31500 * time.Millisecond},
		{"every hour", b24Hour, 0xFF, 0x00, 0x00, 52*time.Minute + 1500*time.Millisecond},
		{"today", b24Hour, 0x15, 0x08, 0x00, 1500 * time.Millisecond},
		{"tomorrow", b24Hour, 0x15, 0x07, 0x58, 24*time.Hour - 500*time.Millisecond},
		{"binary", b24Hour | bBinary, 15, 10, 0, 2*time.Minute + 1500*time.Millisecond},
		{"12 hours", 0, 0x84, 0x07, 0x58, time.Hour - 500*time.Millisecond},
		{"12 hours, a.m.", 0, 0x12, 0x00, 0x00, 8*time.Hour + 52*time.Minute + 1500*time.Millisecond},
		{"no such hour", b24Hour, 0x24, 0xFF, 0xFF, 0},
		{"no such minute", b24Hour, 0xFF, 0x60, 0xFF, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRTCRig(afternoon, RTCOptions{})
			r.set(regB, tt.b)
			r.set(regHoursAlarm, tt.h)
			r.set(regMinutesAlarm, tt.m)
			r.set(regSecondsAlarm, tt.s)
			r.get(regC)
			r.set(regB, tt.b|bAIE)
			r.clock.Advance(48 * time.Hour)
			if tt.want == 0 {
				if len(r.raised) != 0 {
					t.Errorf("raised at %v", r.raised)
				}
				return
			}
			if len(r.raised) != 1 || r.raised[0] != tt.want {
				t.Fatalf("raised at %v, want %v", r.raised, tt.want)
			}
			if v := r.get(regC); v&cAF == 0 {
				t.Errorf("register C %x", v)
			}
		})
	}
}

// TestAlarmFollowsTheWallClock sets the wall clock forward while an alarm waits.
func TestAlarmFollowsTheWallClock(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.set(regHoursAlarm, 0x18)
	r.set(regMinutesAlarm, 0)
	r.set(regSecondsAlarm, 0)
	r.set(regB, b24Hour|bAIE)
	r.clock.Advance(time.Second)
	r.epoch = r.epoch.Add(3 * time.Hour)
	r.clock.Advance(alarmRecheck)
	if !r.level {
		t.Error("the alarm was slept through")
	}
}

func TestPolledFlags(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.get(regC)
	r.set(regHoursAlarm, 0x15)
	r.set(regMinutesAlarm, 0x08)
	r.set(regSecondsAlarm, 0x00)
	r.clock.Advance(100 * time.Microsecond)
	if v := r.get(regC); v != 0 {
		t.Errorf("flags %x", v)
	}
	r.clock.Advance(time.Millisecond)
	if v := r.get(regC); v != cPF {
		t.Errorf("flags %x, want PF", v)
	}
	r.clock.Advance(500 * time.Millisecond)
	if v := r.get(regC); v != cPF|cUF {
		t.Errorf("flags %x, want PF and UF", v)
	}
	r.clock.Advance(time.Second)
	if v := r.get(regC); v != cPF|cUF|cAF {
		t.Errorf("flags %x, want all", v)
	}
	if _, armed := r.clock.Next(); armed || len(r.raised) != 0 {
		t.Error("polling armed a timer or raised the line")
	}
}

func TestWallClockGoesBack(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.set(regB, b24Hour|bUIE)
	r.epoch = r.epoch.Add(-time.Hour)
	r.get(regC)
	r.clock.Advance(time.Second)
	if !r.level {
		t.Error("no update after the wall clock was set back")
	}
}

func TestCMOS(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		below, above uint64
		want         []uint8 // 15 16 17 18 30 31 34 35 5b 5c 5d
	}{
		{512 << 10, 0, []uint8{0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{16 * mib, 0, []uint8{0x80, 2, 0, 0x3C, 0, 0x3C, 0, 0, 0, 0, 0}},
		{512 * mib, 0, []uint8{0x80, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x1F, 0, 0, 0}},
		{3072 * mib, 5120 * mib, []uint8{0x80, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0xBF, 0x00, 0x40, 0x01}},
		{3072 * mib, 1 << 60, []uint8{0x80, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0xBF, 0xFF, 0xFF, 0xFF}},
	}
	for _, tt := range tests {
		r := newRTCRig(afternoon, RTCOptions{RAMBelow4G: tt.below, RAMAbove4G: tt.above})
		got := r.registers(0x15, 0x16, 0x17, 0x18, 0x30, 0x31, 0x34, 0x35, 0x5B, 0x5C, 0x5D)
		if string(got) != string(tt.want) {
			t.Errorf("%d+%d bytes: % x, want % x", tt.below, tt.above, got, tt.want)
		}
	}
	r := newRTCRig(afternoon, RTCOptions{RAMBelow4G: 512 * mib})
	if err := r.rtc.SetCMOS(0x10, 0x44); err != nil {
		t.Error(err)
	}
	var sum uint16
	for i := uint8(0x10); i <= 0x2D; i++ {
		sum += uint16(r.get(i))
	}
	if got := uint16(r.get(0x2E))<<8 | uint16(r.get(0x2F)); got != sum || r.get(0x10) != 0x44 {
		t.Errorf("checksum %x, want %x", got, sum)
	}
	for _, index := range []uint8{0, regD, regCentury, 0x80} {
		if r.rtc.SetCMOS(index, 1) == nil {
			t.Errorf("index %#x accepted", index)
		}
		if _, err := r.rtc.CMOS(index); err == nil {
			t.Errorf("index %#x accepted", index)
		}
	}
	r.set(0x0F, 0x0A)
	r.rtc.Reset()
	if v, err := r.rtc.CMOS(0x0F); v != 0x0A || err != nil {
		t.Errorf("shutdown status %x, %v", v, err)
	}
}

func TestRTCPorts(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.rtc.Write(0, []byte{0x80 | 0x40, 0x77}) // index and data in one access
	if s := r.rtc.State(); !s.NMIMasked || s.Index != 0x40 || s.RAM[0x40] != 0x77 {
		t.Errorf("index %x, NMI masked %v, data %x", s.Index, s.NMIMasked, s.RAM[0x40])
	}
	data := []byte{0, 0}
	r.rtc.Read(0, data)
	if data[0] != 0xFF || data[1] != 0x77 {
		t.Errorf("ports read %x", data)
	}
	r.set(regD, 0)
	r.set(regC, 0xFF)
	if r.get(regD) != dVRT || r.get(regC)&cIRQF != 0 {
		t.Error("a read-only register was written")
	}
}

func TestRTCAllocatesNothing(t *testing.T) {
	r := newRTCRig(afternoon, RTCOptions{})
	r.set(regB, b24Hour|bUIE|bAIE|bPIE)
	data := make([]byte, 2)
	if n := testing.AllocsPerRun(100, func() {
		for reg := range uint8(0x34) {
			data[0] = reg
			r.rtc.Write(0, data[:1])
			r.rtc.Read(1, data[:1])
			r.rtc.Write(1, data[:1])
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRTCRead(b *testing.B) {
	r := newRTCRig(afternoon, RTCOptions{})
	data := []byte{regSeconds}
	r.rtc.Write(0, data)
	b.ReportAllocs()
	for b.Loop() {
		r.rtc.Read(1, data)
	}
}

func FuzzRTC(f *testing.F) {
	f.Add([]byte{0x0B, 0x82, 0x0A, 0x70, 0x04, 0x99, 0x0A, 0x26, 0x0B, 0x72, 0x81, 200, 0x8C, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRTCRig(afternoon, RTCOptions{RAMBelow4G: 1 << 28})
		for n := 0; len(ops) >= 2 && n < 100; ops, n = ops[2:], n+1 {
			op, v := ops[0], ops[1]
			switch {
			case op < 0x80:
				r.set(op, v)
			case op < 0xC0:
				r.clock.Advance(time.Duration(v) * time.Duration(v) * time.Millisecond)
			case op < 0xE0:
				r.clock.Jump(time.Duration(v) * time.Hour)
			case op < 0xE8:
				r.rtc.Reset()
			default:
				r.get(v & 0x7F)
			}
			s := r.rtc.State()
			pending := s.RAM[regB]&s.RAM[regC]&(cPF|cAF|cUF) != 0
			if s.Asserted != pending || r.level != pending || s.RAM[regC]&cIRQF != 0 != pending {
				t.Fatalf("after %#x %#x: B %#x C %#x, line %v", op, v, s.RAM[regB], s.RAM[regC], r.level)
			}
			if s.OffsetNanoseconds < 0 || s.OffsetNanoseconds >= 1e9 {
				t.Fatalf("nanoseconds %d", s.OffsetNanoseconds)
			}
			if _, armed := r.clock.Next(); armed && s.RAM[regB]&(bPIE|bAIE|bUIE) == 0 {
				t.Fatal("armed with all interrupts disabled")
			}
		}
	})
}
