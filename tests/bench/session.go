package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// settings are how long to measure.
type settings struct {
	Boots  int           // machines a VMM, one after the other
	Rounds int           // with each of them
	Load   time.Duration // of a disk or network load
	Idle   time.Duration
}

// full and quick are the settings to choose from.
func full() settings {
	return settings{Boots: 2, Rounds: 4, Load: time.Second, Idle: 10 * time.Second}
}

func quick() settings {
	return settings{Boots: 1, Rounds: 2, Load: 300 * time.Millisecond, Idle: 3 * time.Second}
}

// sample is one measurement.
type sample struct {
	Row   string
	VMM   vmm
	Value float64
	Exit  float64 // ns of a CPUID in the same round, 0 if not measured
}

// session is the measuring of groups in one place.
type session struct {
	ctx      context.Context
	log      func(format string, args ...any)
	dir      string // for files, in memory
	perf     string // directory for profiles, none if empty
	assets   assets
	programs programs
	settings settings
	group    *group
	lost     map[vmm]bool        // of the group; their machines are gone
	keep     func(results) error // is told what is known after each turn

	results results
}

// results are what comes of a session.
type results struct {
	Samples  []sample
	Commands []noted
	Failures []string
	Host     string // what the place is
}

// noted is a command line that was used.
type noted struct {
	Group string
	VMM   vmm
	Text  string
}

func (s *session) note(v vmm, c command) {
	n := noted{s.group.name, v, c.String()}
	if !slices.ContainsFunc(s.results.Commands, func(x noted) bool { return x.Group == n.Group && x.VMM == n.VMM }) {
		s.results.Commands = append(s.results.Commands, n)
	}
}

// record keeps a measurement if its row was chosen.
func (s *session) record(what string, v vmm, value, exit float64) {
	name := s.group.name + "/" + what
	if s.wants(what) {
		s.results.Samples = append(s.results.Samples, sample{name, v, value, exit})
		s.log("%-32s %-13s %.5g", name, v, value)
	}
}

// wants tells whether a row of the group was chosen.
func (s *session) wants(what string) bool {
	return slices.ContainsFunc(s.group.rows, func(r row) bool { return r.Name == s.group.name+"/"+what })
}

// run measures the groups one after the other. One that fails, or that takes
// longer than its limit, does not keep the others from it.
func (s *session) run(chosen []group) error {
	for _, g := range chosen {
		s.group, s.lost = &g, map[vmm]bool{}
		if err := s.limited(groupLimit, func() error { return g.measure(s) }); err != nil {
			s.fail(err)
		}
		if err := errors.Join(s.ctx.Err(), s.keep(s.results)); err != nil {
			return err
		}
	}
	return nil
}

// How long a group may take on one host, and one turn of one VMM. Both are
// generous: a test host emulates its processor.
const (
	groupLimit = 15 * time.Minute
	turnLimit  = 2 * time.Minute
)

// limited calls f with a context that ends after d.
func (s *session) limited(d time.Duration, f func() error) error {
	outer := s.ctx
	defer func() { s.ctx = outer }()
	ctx, cancel := context.WithTimeout(outer, d)
	defer cancel()
	s.ctx = ctx
	err := f()
	if err != nil && ctx.Err() != nil && outer.Err() == nil {
		err = fmt.Errorf("not done within %v: %w", d, err)
	}
	return err
}

// fail keeps what went wrong for the report.
func (s *session) fail(err error) {
	text := fmt.Sprintf("%s: %v", s.group.name, err)
	s.results.Failures = append(s.results.Failures, text)
	s.log("%s", text)
}

// turns calls measure for each VMM in turn, a number of rounds, after one round
// that warms the caches of the host and does not count. A VMM that fails has no
// more turns; the others go on.
func (s *session) turns(rounds int, measure func(v vmm, counts bool) error) error {
	failed := map[vmm]bool{}
	for round := range rounds + 1 {
		measured := 0
		for _, v := range s.group.vmms {
			if failed[v] || s.lost[v] {
				continue
			}
			if round == 0 {
				s.log("%-32s %-13s warms up", s.group.name, v)
			}
			err := s.limited(turnLimit, func() error { return measure(v, round > 0) })
			if s.ctx.Err() != nil {
				return s.ctx.Err()
			}
			if err != nil {
				failed[v] = true
				s.fail(fmt.Errorf("%s: %w", v, err))
				continue
			}
			measured++
			if err := s.keep(s.results); err != nil {
				return err
			}
		}
		if measured == 0 {
			return errors.New("no VMM is left to measure")
		}
	}
	return nil
}

// repeat is how often a machine is started for what only a start shows.
func (s *session) repeat() int { return s.settings.Boots * s.settings.Rounds }
