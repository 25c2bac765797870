package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/vmm/qmp"
	"github.com/govmm/govmm/vmm/statedir"
)

// eventFlags say which events are wanted.
type eventFlags struct {
	loop, asJSON bool
	name         string
	timeout      time.Duration
}

func (a *app) eventCommand() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "event NAME",
		Short: "Wait for something to happen to a machine",
		Long: `event waits for the next event of the machine NAME and prints it, with its
data, in the words of QEMU's machine protocol: STOP, RESUME, RESET, POWERDOWN,
SHUTDOWN, GUEST_PANICKED, WATCHDOG, BLOCK_IO_ERROR, DEVICE_TRAY_MOVED,
BALLOON_CHANGE, DUMP_COMPLETED. With --loop it goes on until the machine ends.
With --json each event is a line.`,
		Example: `  govmm event --loop vm
  govmm event --event=WATCHDOG --timeout=1m vm`,
		Args:              argsNAME(0, 0, ""),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := statedir.Find(statedir.Root(), args[0])
			if err != nil {
				return err
			}
			ctx := c.Context()
			if f.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("no event within %v", f.timeout))
				defer cancel()
			}
			client, err := connect(ctx, e)
			if err != nil {
				return err
			}
			defer client.Close()
			return a.follow(ctx, client, f)
		},
	}
	cmd.Flags().BoolVar(&f.loop, "loop", false, "go on after the first event")
	cmd.Flags().StringVar(&f.name, "event", "", "wait for events of this name alone")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "give up after this time, as an error")
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

// follow prints events as they come.
func (a *app) follow(ctx context.Context, client *qmp.Client, f eventFlags) error {
	for {
		e, err := client.Next(ctx)
		switch {
		case errors.Is(err, io.EOF) && f.loop:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the machine has ended without such an event")
		case err != nil:
			return err
		case f.name != "" && e.Name != f.name:
			continue
		}
		if err := a.printEvent(e, f.asJSON); err != nil || !f.loop {
			return err
		}
	}
}

func (a *app) printEvent(e qmp.Event, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(struct {
			Time  time.Time       `json:"time"`
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data,omitempty"`
		}{e.Time, e.Name, e.Data})
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %-17s  %s\n", e.Time.Format("2006-01-02 15:04:05.000"), e.Name, e.Data)
	return err
}
