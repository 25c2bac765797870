package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/vmm/statedir"
)

// listTime is how long list waits for a machine, which may be stopped itself.
const listTime = 2 * time.Second

// noAnswer is the state of a machine that does not tell.
const noAnswer = "no answer"

// machineRow is a machine in the list.
type machineRow struct {
	Name   string `json:"name"`
	PID    int    `json:"pid"`
	State  string `json:"state"`
	Socket string `json:"socket"`
}

func (a *app) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the machines that run",
		Long: `list prints the machines of this user that "run" runs, with their processes
and states: running, paused, crashed, shut off, or "no answer" for one that
is just starting, or is stopped itself. Machines that were run with
--no-control are not known to it.

State directories that killed processes left behind are removed.`,
		Example: `  govmm list
  govmm list --json`,
		Args: argsNone,
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := statedir.List(statedir.Root())
			if err != nil {
				return err
			}
			rows := make([]machineRow, len(list))
			var asking sync.WaitGroup
			for i, e := range list {
				asking.Go(func() { rows[i] = machineRow{e.Name, e.PID, stateOf(c.Context(), e), e.Socket()} })
			}
			asking.Wait()
			if asJSON {
				return printJSON(a.stdout, rows)
			}
			t := newTable(a.stdout)
			fmt.Fprintln(t, "Name\tPID\tState")
			for _, r := range rows {
				fmt.Fprintf(t, "%s\t%d\t%s\n", r.Name, r.PID, r.State)
			}
			return t.Flush()
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// stateOf asks a machine for its state, in virsh's words.
func stateOf(parent context.Context, e statedir.Entry) string {
	ctx, cancel := context.WithTimeout(parent, listTime)
	defer cancel()
	c, err := connect(ctx, e)
	if err != nil {
		return noAnswer
	}
	defer c.Close()
	state, _, err := (&remote{Entry: e, client: c}).state(ctx)
	if err != nil {
		return noAnswer
	}
	return state
}
