package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
)

// statsGroup is a group of statistics, with the flag that asks for it alone.
type statsGroup struct {
	flag, about string
	collect     func(s *statistics, ctx context.Context, r remote) error
}

// statsGroups are those of virsh, in its order.
func statsGroups() []statsGroup {
	return []statsGroup{
		{"state", "the machine's state", (*statistics).state},
		{"cpu-total", "the time of its process", (*statistics).cpu},
		{"balloon", "its memory", (*statistics).balloon},
		{"vcpu", "its vCPUs", (*statistics).vcpus},
		{"interface", "its network interfaces", (*statistics).interfaces},
		{"block", "its disks", (*statistics).blocks},
	}
}

func (a *app) domstatsCommand() *cobra.Command {
	groups := statsGroups()
	wanted := make([]bool, len(groups))
	cmd := a.inspectCommand("domstats", "Tell what a machine has done",
		`domstats prints the statistics of the machine NAME under libvirt's names: times
in nanoseconds, memory in KiB, disks in bytes. What an interface receives (rx)
is what the guest does. An interface that has no name on the host has that of
its device (net0). What the guest says of its memory (balloon.swap_in and so
on) is there if a driver in it answers.

Without a flag for a group it prints them all.`,
		func(ctx context.Context, r remote, asJSON bool) error {
			s := &statistics{}
			for i, g := range groups {
				if !wanted[i] && slices.Contains(wanted, true) {
					continue
				}
				if err := g.collect(s, ctx, r); err != nil {
					return err
				}
			}
			if asJSON {
				m := map[string]any{"domain": r.Name}
				for _, f := range s.fields {
					m[f.name] = f.value
				}
				return printJSON(a.stdout, m)
			}
			fmt.Fprintf(a.stdout, "Domain: '%s'\n", r.Name)
			for _, f := range s.fields {
				if _, err := fmt.Fprintf(a.stdout, "  %s=%v\n", f.name, f.value); err != nil {
					return err
				}
			}
			return nil
		})
	for i, g := range groups {
		cmd.Flags().BoolVar(&wanted[i], g.flag, false, g.about)
	}
	return cmd
}

// statistics are gathered in the order of virsh.
type statistics struct {
	fields []field
	domain *domcfg.Domain // as it runs, once live has asked for it
}

func (s *statistics) add(value any, name string, args ...any) {
	s.fields = append(s.fields, field{fmt.Sprintf(name, args...), value})
}

// live is the machine's domain as it runs.
func (s *statistics) live(ctx context.Context, r remote) (_ *domcfg.Domain, err error) {
	if s.domain == nil {
		s.domain, err = r.domain(ctx)
	}
	return s.domain, err
}

// state tells the number that libvirt has for the state (virDomainState), and why.
func (s *statistics) state(ctx context.Context, r remote) error {
	state, reason, err := r.state(ctx)
	if err != nil {
		return err
	}
	s.add(map[string]int{"running": 1, "paused": 3, "shut off": 5, "crashed": 6}[state], "state.state")
	s.add(reason, "state.reason")
	return nil
}

func (s *statistics) cpu(_ context.Context, r remote) error {
	user, system, err := processTimes(r.PID)
	if err != nil {
		return err
	}
	s.add((user + system).Nanoseconds(), "cpu.time")
	s.add(user.Nanoseconds(), "cpu.user")
	s.add(system.Nanoseconds(), "cpu.system")
	return nil
}

func (s *statistics) vcpus(ctx context.Context, r remote) error {
	d, err := s.live(ctx, r)
	if err != nil {
		return err
	}
	threads, err := r.threads(ctx)
	if err != nil {
		return err
	}
	s.add(len(threads), "vcpu.current")
	s.add(d.VCPU.Count, "vcpu.maximum")
	for i, t := range threads {
		state := 1 // VIR_VCPU_RUNNING
		if t.TID == 0 {
			state = 0 // VIR_VCPU_OFFLINE
		}
		s.add(state, "vcpu.%d.state", i)
		s.add(t.Time.Nanoseconds(), "vcpu.%d.time", i)
		s.add(t.Delay.Nanoseconds(), "vcpu.%d.delay", i)
	}
	return nil
}
