package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) domstatsCommand() *cobra.Command {
	return a.inspectCommand("domstats", "Tell what a machine has done",
		`domstats prints the statistics of the machine NAME under libvirt's names: times
in nanoseconds, memory in KiB. What an interface receives (rx) is what the
guest does. An interface that has no name on the host has that of its device
(net0).`,
		func(ctx context.Context, r remote, asJSON bool) error {
			s, err := r.stats(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				m := map[string]any{"domain": r.Name}
				for _, f := range s {
					m[f.name] = f.value
				}
				return printJSON(a.stdout, m)
			}
			fmt.Fprintf(a.stdout, "Domain: '%s'\n", r.Name)
			for _, f := range s {
				if _, err := fmt.Fprintf(a.stdout, "  %s=%v\n", f.name, f.value); err != nil {
					return err
				}
			}
			return nil
		})
}

// virDomainState are libvirt's numbers for states.
func virDomainState(state string) int {
	return map[string]int{"running": 1, "paused": 3, "shut off": 5, "crashed": 6}[state]
}

// stats are the statistics in the order of virsh.
func (r *remote) stats(ctx context.Context) ([]field, error) {
	var all []field
	add := func(value any, name string, args ...any) { all = append(all, field{fmt.Sprintf(name, args...), value}) }

	state, reason, err := r.state(ctx)
	if err != nil {
		return nil, err
	}
	add(virDomainState(state), "state.state")
	add(reason, "state.reason")
	used, err := processTime(r.PID)
	if err != nil {
		return nil, err
	}
	add(used.Nanoseconds(), "cpu.time")

	d, err := r.domain(ctx)
	if err != nil {
		return nil, err
	}
	add(uint64(d.CurrentMemory), "balloon.current")
	add(uint64(d.Memory), "balloon.maximum")

	threads, err := r.threads(ctx)
	if err != nil {
		return nil, err
	}
	add(len(threads), "vcpu.current")
	add(d.VCPU.Count, "vcpu.maximum")
	for i, t := range threads {
		add(1, "vcpu.%d.state", i)
		add(t.Time.Nanoseconds(), "vcpu.%d.time", i)
	}

	nets, err := r.deviceStats(ctx, "__com.github.govmm_query-netstats")
	if err != nil {
		return nil, err
	}
	add(len(nets), "net.count")
	for i, n := range nets {
		name := d.Devices.Interfaces[i].TargetDev
		add(cmp.Or(name, n.Device), "net.%d.name", i)
		for _, c := range []struct{ libvirt, ours string }{
			{"rx.bytes", "rx_bytes"}, {"rx.pkts", "rx_packets"}, {"rx.errs", "rx_errs"}, {"rx.drop", "rx_drop"},
			{"tx.bytes", "tx_bytes"}, {"tx.pkts", "tx_packets"}, {"tx.errs", "tx_errs"}, {"tx.drop", "tx_drop"},
		} {
			add(n.Stats[c.ours], "net.%d.%s", i, c.libvirt)
		}
	}

	blocks, err := r.deviceStats(ctx, "query-blockstats")
	if err != nil {
		return nil, err
	}
	add(len(blocks), "block.count")
	for i, b := range blocks {
		add(b.Device, "block.%d.name", i)
		for _, c := range []struct{ ours, qemu string }{
			{"rd.reqs", "rd_operations"}, {"rd.bytes", "rd_bytes"}, {"wr.reqs", "wr_operations"}, {"wr.bytes", "wr_bytes"}, {"fl.reqs", "flush_operations"},
		} {
			add(b.Stats[c.qemu], "block.%d.%s", i, c.ours)
		}
		add(b.Stats["failed_rd_operations"]+b.Stats["failed_wr_operations"]+b.Stats["failed_flush_operations"], "block.%d.errors", i)
	}
	return all, nil
}

// deviceStats are the statistics of a disk or a network interface.
type deviceStats struct {
	Device string
	Stats  map[string]uint64
}

func (r *remote) deviceStats(ctx context.Context, command string) (all []deviceStats, err error) {
	err = r.client.Execute(ctx, command, nil, &all)
	return all, err
}
