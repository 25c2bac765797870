package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// inspectCommand is a command that asks a machine and prints the answer.
func (a *app) inspectCommand(use, short, long string, show func(ctx context.Context, r remote, asJSON bool) error) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               use + " NAME",
		Short:             short,
		Long:              long,
		Example:           "  govmm " + use + " vm\n  govmm " + use + " --json vm",
		Args:              argsNAME(0, 0, ""),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error { return show(ctx, r, asJSON) })
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (a *app) domstateCommand() *cobra.Command {
	var withReason bool
	cmd := a.inspectCommand("domstate", "Tell what a machine does",
		`domstate prints the state of the machine NAME: running, paused, crashed or
shut off. The last two are those of a machine that is preserved after its
guest's end.`,
		func(ctx context.Context, r remote, asJSON bool) error {
			state, reason, err := r.state(ctx)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(a.stdout, map[string]string{"state": state, "reason": reason})
			case withReason:
				state += " (" + reason + ")"
			}
			_, err = fmt.Fprintln(a.stdout, state)
			return err
		})
	cmd.Flags().BoolVar(&withReason, "reason", false, "also print why")
	return cmd
}

// domainInfo is what dominfo tells.
type domainInfo struct {
	ID         int    `json:"id"`
	Name       string `json:"name"`
	UUID       string `json:"uuid"`
	OSType     string `json:"os_type"`
	State      string `json:"state"`
	CPUs       uint   `json:"cpus"`
	CPUTime    int64  `json:"cpu_time"`    // nanoseconds
	MaxMemory  uint64 `json:"max_memory"`  // KiB
	UsedMemory uint64 `json:"used_memory"` // KiB
}

func (a *app) dominfoCommand() *cobra.Command {
	return a.inspectCommand("dominfo", "Tell about a machine",
		`dominfo prints what the machine NAME is and has. Its id is the number of its
process.`,
		func(ctx context.Context, r remote, asJSON bool) error {
			d, err := r.domain(ctx)
			if err != nil {
				return err
			}
			state, _, err := r.state(ctx)
			if err != nil {
				return err
			}
			user, system, err := processTimes(r.PID)
			if err != nil {
				return err
			}
			used := user + system
			i := domainInfo{r.PID, r.Name, d.UUID.String(), d.OS.Type, state, d.VCPU.Online(), int64(used), uint64(d.Memory), uint64(d.CurrentMemory)}
			if asJSON {
				return printJSON(a.stdout, i)
			}
			return printFields(a.stdout, []field{
				{"Id", i.ID}, {"Name", i.Name}, {"UUID", i.UUID}, {"OS Type", i.OSType}, {"State", i.State}, {"CPU(s)", i.CPUs},
				{"CPU time", fmt.Sprintf("%.1fs", used.Seconds())},
				{"Max memory", fmt.Sprintf("%d KiB", i.MaxMemory)}, {"Used memory", fmt.Sprintf("%d KiB", i.UsedMemory)},
			})
		})
}

func (a *app) vcpuinfoCommand() *cobra.Command {
	return a.inspectCommand("vcpuinfo", "Tell about a machine's vCPUs",
		`vcpuinfo prints, for each vCPU of the machine NAME, its thread on the host, the
host's CPU that it ran on last, how long it has run, and the CPUs that it may
run on.`,
		func(ctx context.Context, r remote, asJSON bool) error {
			threads, err := r.threads(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, threads)
			}
			t := newTable(a.stdout)
			fmt.Fprintln(t, "VCPU\tThread\tCPU\tState\tCPU time\tCPU Affinity")
			for _, v := range threads {
				fmt.Fprintf(t, "%d\t%d\t%d\t%s\t%s\t%s\n", v.VCPU, v.TID, v.CPU, v.State, v.Time.Round(time.Millisecond), v.Mask)
			}
			return t.Flush()
		})
}
