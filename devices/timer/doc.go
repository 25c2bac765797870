// Package timer models the PC's timekeeping devices: the 8254 programmable
// interval timer with the system control port 0x61, the MC146818 real-time
// clock with its CMOS RAM, and the high precision event timer (HPET).
//
// Sources: Intel 8254 data sheet (231164-005), Motorola MC146818 data sheet,
// Intel 82371SB (PIIX3) data sheet for the ports, IA-PC HPET specification 1.0a.
//
// What becomes of ticks that the guest misses is a timer's tick policy (tick.go).
//
// All state is computed from the injected clock when it is looked at; a host
// timer is armed only while the guest waits for an interrupt. Left out: the
// sound of the speaker, the interrupt edge that a control word causes on real
// hardware by raising channel 0's OUT, the RTC's daylight saving bit and square
// wave output, which the PC does not use, and the HPET's interrupts by message
// (FSB), which are optional.
package timer

import (
	"math/bits"
	"time"
)

// ticksAt is how many periods of a clock of the given frequency, in Hz, have
// begun by time t.
func ticksAt(t time.Duration, frequency uint64) int64 {
	hi, lo := bits.Mul64(uint64(max(t, 0)), frequency)
	// hi is below the divisor for every frequency below 10^9, so that the
	// quotient fits.
	q, _ := bits.Div64(hi, lo, uint64(time.Second))
	return int64(q)
}

// timeOf is the earliest time for which ticksAt gives tick.
func timeOf(tick int64, frequency uint64) time.Duration {
	hi, lo := bits.Mul64(uint64(max(tick, 0)), uint64(time.Second))
	lo, carry := bits.Add64(lo, frequency-1, 0)
	hi += carry
	if hi >= frequency {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, frequency)
	return time.Duration(min(q, 1<<63-1))
}
