package main

import (
	"errors"
	"fmt"
	"io"
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

// measureFirst measures the time to the first character that a guest prints
// with its first three instructions.
func measureFirst(s *session) error {
	m := machine{memory: guestMemory, kernel: s.assets.First, tiny: true, here: s.group.place == placeHere}
	return s.turns(s.repeat(), func(v vmm, counts bool) error {
		p, took, err := s.startFirst(v, m)
		if err != nil {
			return err
		}
		p.stop()
		if counts {
			s.record("instruction", v, took.Seconds()*1e3, 0)
		}
		return nil
	})
}

// startFirst starts a machine whose guest prints one character, and waits for
// that.
func (s *session) startFirst(v vmm, m machine) (*process, time.Duration, error) {
	p, err := s.prepare(v, m)
	if err != nil {
		return nil, 0, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	start := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, 0, err
	}
	err = awaitMark(out)
	took := time.Since(start)
	go p.read(out)
	if err != nil {
		p.stop()
		return nil, 0, fmt.Errorf("%w; the VMM says: %s", err, p.said)
	}
	return p, took, nil
}

// awaitMark reads up to the guest's character. A VMM may have something to say
// before it, of which there are no more than a few lines.
func awaitMark(out io.Reader) error {
	var said []byte
	var c [1]byte
	for len(said) < 1<<10 {
		if _, err := io.ReadFull(out, c[:]); err != nil {
			return fmt.Errorf("the guest says nothing, but %q: %w", said, err)
		}
		if c[0] == '!' {
			return nil
		}
		said = append(said, c[0])
	}
	return fmt.Errorf("the guest says nothing, but %q", said)
}

// runReport runs the tiny kernel to its end. A profile of it is called what.
func (s *session) runReport(v vmm, m machine, what string, counts bool) (*guest.Report, error) {
	p, err := s.prepare(v, m)
	if err != nil {
		return nil, err
	}
	defer p.forget()
	var out strings.Builder
	p.cmd.Stdout = &out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	finish, err := s.profile(p, what, counts)
	if err != nil {
		return nil, errors.Join(err, p.cmd.Process.Kill(), p.cmd.Wait())
	}
	_ = p.cmd.Wait() // the status is the guest's
	if err := errors.Join(finish(), s.ctx.Err()); err != nil {
		return nil, err
	}
	report, err := guest.ParseOutput(strings.NewReader(out.String()))
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w; the VMM says: %s", err, p.said)
	}
	return report, nil
}

// measureExits measures exits that the VMM answers, by loops of the tiny
// kernel.
func measureExits(s *session) error {
	return s.tinyFigures("test=pio-bench,mmio-bench n=3000", map[string][2]string{
		"port": {"pio-bench", "ns-each"}, "memory": {"mmio-bench", "ns-each"},
	})
}

// measureInterrupts measures how long interrupts take.
func measureInterrupts(s *session) error {
	return s.tinyFigures("test=irq-bench n=300", map[string][2]string{
		"raised": {"irq-bench", "ns-raised"}, "timer": {"irq-bench", "ns-late"},
	})
}

// tinyFigures records figures, each of a test and by a name in its results, that
// the tiny kernel prints.
func (s *session) tinyFigures(cmdline string, figures map[string][2]string) error {
	m := machine{memory: guestMemory, kernel: s.assets.Tiny, tiny: true, here: s.group.place == placeHere, cmdline: cmdline}
	return s.turns(s.repeat(), func(v vmm, counts bool) error {
		report, err := s.runReport(v, m, "exits", counts)
		if err != nil {
			return err
		}
		for what, f := range figures {
			ns, err := nanoseconds(report, f[0], f[1])
			if err != nil {
				return err
			}
			if counts {
				s.record(what, v, ns, 0)
			}
		}
		return nil
	})
}

// measureBoot measures the time to a stock kernel's init, the processor time in
// it that the VMM has taken, and then what an exit costs that does not reach the
// VMM.
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
		times, err := readTimes(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		if counts {
			s.record("init", v, up.at.Sub(p.started).Seconds()*1e3, 0)
			s.record("user", v, (times.user-times.guest).Seconds()*1e3, 0)
			s.record("system", v, times.system.Seconds()*1e3, 0)
		}
		if _, _, err := p.await(s.ctx, "bench: ready"); err != nil || v.silent() {
			return err
		}
		exit, err := p.exitCost(s.ctx)
		if err == nil && counts {
			s.record("cpuid", v, exit, 0)
		}
		return err
	})
}
