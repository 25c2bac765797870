package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/govmm/govmm/tests/guest"
)

// tinyMemory is the memory of machines for the tiny kernel, in MiB.
const tinyMemory = 128

// guestMemory is that of machines for a stock kernel.
const guestMemory = 256

// cmdline is for a stock kernel: no output that is not asked for, the same
// place each time, and no alarm when a machine is frozen for its peer's turn.
const cmdline = "console=ttyS0 quiet loglevel=1 nokaslr panic=-1 nowatchdog rcupdate.rcu_cpu_stall_suppress=1 mitigations=off"

// repeat is how often a machine is started for what only a start shows.
func (s *session) repeat() int { return s.settings.Boots * s.settings.Rounds }

// turns calls measure for each VMM in turn, a number of rounds, after one round
// that warms the caches of the host and does not count.
func (s *session) turns(rounds int, measure func(v vmm, counts bool) error) error {
	for round := range rounds + 1 {
		for _, v := range s.group.vmms {
			if err := measure(v, round > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureFirst measures the time to the first character that a guest prints
// with its first three instructions.
func measureFirst(s *session) error {
	m := machine{memory: tinyMemory, kernel: s.assets.First, tiny: true, here: s.group.place == placeHere}
	return s.turns(s.repeat(), func(v vmm, counts bool) error {
		p, err := s.prepare(v, m)
		if err != nil {
			return err
		}
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			return err
		}
		start := time.Now()
		if err := p.cmd.Start(); err != nil {
			return err
		}
		var c [1]byte
		_, err = io.ReadFull(out, c[:])
		took := time.Since(start)
		_ = p.cmd.Wait() // its status is the guest's, which the character tells
		if err != nil || c[0] != '!' {
			return fmt.Errorf("%s: the guest says %q, %v; the VMM says: %s", v, c, err, p.said)
		}
		if counts {
			s.record("instruction", v, took.Seconds()*1e3, 0)
		}
		return nil
	})
}

// measureExits measures exits that the VMM answers, by loops of the tiny
// kernel.
func measureExits(s *session) error {
	m := machine{
		memory: tinyMemory, kernel: s.assets.Tiny, tiny: true, here: s.group.place == placeHere,
		cmdline: "test=pio-bench,mmio-bench n=3000",
	}
	return s.turns(s.repeat(), func(v vmm, counts bool) error {
		p, err := s.prepare(v, m)
		if err != nil {
			return err
		}
		out, _ := p.cmd.Output() // the status is the guest's
		report, err := guest.ParseOutput(strings.NewReader(string(out)))
		if err == nil {
			err = report.Err()
		}
		if err != nil {
			return fmt.Errorf("%s: %w; the VMM says: %s", v, err, p.said)
		}
		for what, test := range map[string]string{"port": "pio-bench", "memory": "mmio-bench"} {
			result, ok := report.Lookup(test, "ns-each")
			ns, err := strconv.ParseFloat(result.Detail, 64)
			if !ok || err != nil {
				return fmt.Errorf("%s: %s is %q", v, test, result.Detail)
			}
			if counts {
				s.record(what, v, ns, 0)
			}
		}
		return nil
	})
}

// measureBoot measures the time to a stock kernel's init, and then what an exit
// costs that does not reach the VMM.
func measureBoot(s *session) error {
	m := machine{memory: guestMemory, kernel: s.assets.Kernel, initrd: s.assets.Small, cmdline: cmdline}
	rounds := max(2, s.repeat()/2) // each takes long, and they are alike
	return s.turns(rounds, func(v vmm, counts bool) error {
		p, err := s.start(v, m)
		if err != nil {
			return err
		}
		defer p.stop()
		up, _, err := p.await(s.ctx, "bench: up")
		if err != nil {
			return err
		}
		if _, _, err := p.await(s.ctx, "bench: ready"); err != nil {
			return err
		}
		exit, err := p.exitCost(s.ctx)
		if err == nil && counts {
			s.record("init", v, up.at.Sub(p.started).Seconds()*1e3, 0)
			s.record("cpuid", v, exit, 0)
		}
		return err
	})
}
