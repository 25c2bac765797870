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

// run measures the groups one after the other. One that fails does not keep
// the others from it. What is known is given to keep after each.
func (s *session) run(chosen []group, keep func(results) error) error {
	for _, g := range chosen {
		s.group = &g
		if err := g.measure(s); err != nil {
			s.results.Failures = append(s.results.Failures, fmt.Sprintf("%s: %v", g.name, err))
			s.log("%s: %v", g.name, err)
		}
		if err := errors.Join(s.ctx.Err(), keep(s.results)); err != nil {
			return err
		}
	}
	return nil
}
