package pci

import (
	"strings"
	"testing"
	"time"
)

const pmBase = FirmwarePMBase

func TestPMTimer(t *testing.T) {
	r := newRig(t, true)
	r.clock.Advance(time.Second)
	if v := r.in(pmBase+8, 4); v != PMTimerFrequency {
		t.Errorf("timer %d after a second", v)
	}
	r.clock.Advance(time.Minute)
	if v := r.in(pmBase+8, 4); v != 61*PMTimerFrequency&0xFFFFFF {
		t.Errorf("timer %d: not cut off at 24 bits", v)
	}
	r.out(pmBase+8, 4, 0)
	if v := r.in(pmBase+9, 1); v != 61*PMTimerFrequency>>8&0xFF {
		t.Errorf("byte 1 of the timer is %#x", v)
	}
}

func TestPMTimerOverflow(t *testing.T) {
	r := newRig(t, true)
	toggle := func(n int64) time.Duration {
		return time.Duration(n * (1 << 23) * int64(time.Second) / PMTimerFrequency)
	}
	r.clock.Advance(toggle(1))
	if v := r.in(pmBase, 2); v != 0 {
		t.Errorf("status %#x before bit 23 changes", v)
	}
	r.clock.Advance(1)
	if v := r.in(pmBase, 2); v != 1 {
		t.Errorf("status %#x after bit 23 changed", v)
	}
	r.out(pmBase, 2, 1)
	if _, armed := r.clock.Next(); armed || r.in(pmBase, 2) != 0 {
		t.Error("armed while disabled")
	}
	r.out(pmBase+2, 2, 1)
	if _, armed := r.clock.Next(); armed {
		t.Error("armed without SCI_EN")
	}
	r.out(APMPort, 1, ACPIEnable)
	if next, armed := r.clock.Next(); !armed || next != toggle(2)+1 {
		t.Errorf("next overflow at %v, want %v", next, toggle(2)+1)
	}
	r.clock.Advance(toggle(1))
	if !r.irq[SCI] {
		t.Error("no SCI")
	}
	if _, armed := r.clock.Next(); armed {
		t.Error("armed while the status is still set")
	}
	r.out(pmBase, 2, 1)
	if r.irq[SCI] {
		t.Error("the SCI stays")
	}
	if _, armed := r.clock.Next(); !armed {
		t.Error("not armed again")
	}
}

func TestPowerButton(t *testing.T) {
	r := newRig(t, true)
	if r.pm.PressPowerButton() || r.irq[SCI] {
		t.Error("heard before ACPI was enabled")
	}
	r.out(pmBase, 2, 0xFFFF)
	r.out(APMPort, 1, ACPIEnable)
	if v := r.in(pmBase+4, 2); v != 1 {
		t.Errorf("control %#x after ACPI_ENABLE", v)
	}
	if r.pm.PressPowerButton() || r.irq[SCI] {
		t.Error("heard without PWRBTN_EN")
	}
	r.out(pmBase+2, 2, 0xFFFF)
	if v := r.in(pmBase+2, 2); v != pmEnableBits {
		t.Errorf("enable %#x", v)
	}
	if !r.irq[SCI] || !r.pm.PressPowerButton() {
		t.Error("not heard")
	}
	if v := r.in(pmBase, 4); v != pmPowerButton|pmEnableBits<<16 {
		t.Errorf("event block %#x", v)
	}
	r.out(pmBase+1, 1, 1) // the high byte of the status
	if r.irq[SCI] || r.in(pmBase, 2) != 0 {
		t.Error("the SCI stays")
	}
	r.pm.PressPowerButton()
	r.out(APMPort, 1, ACPIDisable)
	if r.irq[SCI] || r.in(pmBase+4, 2) != 0 {
		t.Error("ACPI_DISABLE has no effect")
	}
	r.out(APMPort, 2, 0x5A00|ACPIEnable)
	if v := r.in(APMPort, 2); v != 0x5A00|ACPIEnable || !r.irq[SCI] {
		t.Errorf("APM ports %#x", v)
	}
	r.bus.Reset()
	if r.irq[SCI] || r.in(pmBase, 4) != 0 || r.in(APMPort, 2) != 0 {
		t.Error("reset leaves something behind")
	}
}

// The RTC's interrupt sets RTC_STS when it begins, whoever is told of it.
func TestRTCStatus(t *testing.T) {
	r := newRig(t, true)
	wire := r.pm.IRQ8()
	wire.Set(true)
	if v := r.in(pmBase, 2); v != pmRTC || r.irq[SCI] {
		t.Errorf("status %#x, SCI %v before ACPI was enabled", v, r.irq[SCI])
	}
	r.out(pmBase, 2, pmRTC)
	wire.Set(true)
	if v := r.in(pmBase, 2); v != 0 {
		t.Errorf("status %#x: cleared, it stays so until the next interrupt", v)
	}
	r.out(APMPort, 1, ACPIEnable)
	wire.Set(false)
	wire.Set(true)
	if r.irq[SCI] {
		t.Error("an SCI without RTC_EN")
	}
	r.out(pmBase+2, 2, pmRTC)
	if v := r.in(pmBase, 4); v != pmRTC|pmRTC<<16 || !r.irq[SCI] {
		t.Errorf("event block %#x, SCI %v with RTC_EN", v, r.irq[SCI])
	}
	r.out(pmBase, 2, pmRTC)
	if r.irq[SCI] {
		t.Error("the SCI stays")
	}
	wire.Set(false)
	wire.Set(true)
	if !r.irq[SCI] {
		t.Error("no SCI at an interrupt")
	}
	r.bus.Reset()
	wire.Set(true) // it was asserted all the time
	if v := r.in(pmBase, 4); v != 0 || r.irq[SCI] {
		t.Errorf("event block %#x, SCI %v after a reset", v, r.irq[SCI])
	}
}

func TestGPE(t *testing.T) {
	r := newRig(t, true)
	r.out(APMPort, 1, ACPIEnable)
	r.pm.RaiseGPE(9)
	if r.irq[SCI] {
		t.Error("SCI for a disabled event")
	}
	r.out(pmBase+GPE0Block+3, 1, 2)
	if v := r.in(pmBase+GPE0Block, 4); v != 0x02000200 || !r.irq[SCI] {
		t.Errorf("GPE block %#x, SCI %v", v, r.irq[SCI])
	}
	r.out(pmBase+GPE0Block+1, 1, 2)
	if r.irq[SCI] {
		t.Error("the SCI stays")
	}
}

func TestSleep(t *testing.T) {
	r := newRig(t, true)
	r.out(pmBase+4, 2, 5<<10) // SUS_TYP alone
	r.out(pmBase+4, 2, 1<<10|pmSleepEnable)
	if e := r.takeEvents(); e != "" || !strings.Contains(r.log.String(), "SUS_TYP=1") {
		t.Errorf("S3: %q, log %s", e, r.log.String())
	}
	if v := r.in(pmBase+4, 2); v != 1<<10 {
		t.Errorf("control %#x: SUS_EN is write-only", v)
	}
	r.out(pmBase+4, 2, pmSleepEnable)
	if e := r.takeEvents(); e != "power off" {
		t.Errorf("S5: %q", e)
	}
	r.out(pmBase+5, 1, pmSleepEnable>>8) // by byte
	if e := r.takeEvents(); e != "power off" {
		t.Errorf("S5 by byte: %q", e)
	}
	for range 1000 {
		r.out(pmBase+4, 2, 2<<10|pmSleepEnable)
	}
	if n := strings.Count(r.log.String(), "\n"); n > 20 {
		t.Errorf("%d log lines", n)
	}
}

func TestPMBaseMoves(t *testing.T) {
	r := newRig(t, false)
	if v := r.read(1, 3, 0x40, 4); v != 1 {
		t.Errorf("PMBASE %#x", v)
	}
	r.write(1, 3, 0x40, 4, 0xFFFFFFFF)
	if v := r.read(1, 3, 0x40, 4); v != 0xFFC1 {
		t.Errorf("PMBASE %#x", v)
	}
	r.write(1, 3, 0x40, 4, 0xB000)
	r.clock.Advance(time.Second)
	if r.in(0xB008, 4) != 0xFFFFFFFF {
		t.Error("answers while disabled")
	}
	r.write(1, 3, 0x80, 1, 0xFF)
	if v := r.in(0xB008, 4); v != PMTimerFrequency {
		t.Errorf("timer %d", v)
	}
	r.write(1, 3, 0x41, 1, 0xB1)
	if r.in(0xB008, 4) != 0xFFFFFFFF || r.in(0xB108, 4) != PMTimerFrequency {
		t.Errorf("not moved: %v", r.ports.Ranges())
	}
	r.write(1, 3, 0x40, 4, ELCRPort&^63) // over the ELCR
	if r.in(0xB108, 4) != 0xFFFFFFFF || r.in(ELCRPort, 1) == 0xFF {
		t.Errorf("overlap: %v", r.ports.Ranges())
	}
	if err := r.bus.Remove(1, 3); err != nil {
		t.Fatal(err)
	}
	if err := r.bus.Add(r.pm, 1, 3); err != nil {
		t.Fatal(err)
	}
	if v := r.in(0xB020, 1); v != 0xFF {
		t.Errorf("after removal %#x", v)
	}
}
