package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) domstatsCommand() *cobra.Command {
	return a.inspectCommand("domstats", "Tell what a machine has done",
		`domstats prints the statistics of the machine NAME under libvirt's names: times
in nanoseconds, memory in KiB. What an interface receives (rx) is what the
guest does.`,
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

	add(len(d.Devices.Interfaces), "net.count")
	for i, n := range d.Devices.Interfaces {
		add(n.TargetDev, "net.%d.name", i)
		for _, c := range []struct{ ours, host string }{ // what the host's end sends, the guest receives
			{"rx.bytes", "tx_bytes"}, {"rx.pkts", "tx_packets"}, {"rx.errs", "tx_errors"}, {"rx.drop", "tx_dropped"},
			{"tx.bytes", "rx_bytes"}, {"tx.pkts", "rx_packets"}, {"tx.errs", "rx_errors"}, {"tx.drop", "rx_dropped"},
		} {
			if v, ok := interfaceCounter(n.TargetDev, c.host); ok {
				add(v, "net.%d.%s", i, c.ours)
			}
		}
	}

	blocks, err := r.blockStats(ctx)
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

// interfaceCounter is a counter of a network interface of this host.
func interfaceCounter(name, counter string) (uint64, bool) {
	text, err := os.ReadFile(filepath.Join("/sys/class/net", filepath.Base(name), "statistics", counter))
	if err != nil {
		return 0, false // an end that is no interface
	}
	v, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return v, err == nil
}

// blockStats are the statistics of a disk in QEMU's names.
type blockStats struct {
	Device string
	Stats  map[string]uint64
}

func (r *remote) blockStats(ctx context.Context) (all []blockStats, err error) {
	err = r.client.Execute(ctx, "query-blockstats", nil, &all)
	return all, err
}
