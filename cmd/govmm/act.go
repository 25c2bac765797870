package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"
)

// actCommands are those that tell a machine to do one thing.
func (a *app) actCommands() []*cobra.Command {
	var all []*cobra.Command
	for _, x := range []struct{ name, short, long, command string }{
		{"suspend", "Pause a machine", "suspend stops the vCPUs and clocks of the running machine NAME until resume.", "stop"},
		{"resume", "Let a paused machine go on", "resume lets the machine NAME go on that was paused, by suspend, a disk's\nerror or its watchdog.", "cont"},
		{"shutdown", "Press a machine's power button", "shutdown tells the guest of the running machine NAME, through ACPI, that its\n" +
			"power button was pressed. What it makes of that is its own business. The command\ndoes not wait.", "system_powerdown"},
		{"reboot", "Have a guest shut down and start anew", "reboot presses the power button of the running machine NAME, like shutdown, and\n" +
			"makes a reset of it when the guest has switched itself off; on_reboot decides\nwhat follows. The command does not wait.", "__com.github.govmm_reboot"},
		{"reset", "Press a machine's reset button", "reset starts the guest of the running machine NAME anew at once. It loses\n" +
			"what it has not written to its disks.", "system_reset"},
		{"inject-nmi", "Give a guest a non-maskable interrupt", "inject-nmi gives each vCPU of the running machine NAME a non-maskable interrupt,\n" +
			"which many systems can be set up to take as a wish for a crash dump.", "inject-nmi"},
	} {
		all = append(all, &cobra.Command{
			Use:               x.name + " NAME",
			Short:             x.short,
			Long:              x.long,
			Example:           "  govmm " + x.name + " vm",
			Args:              argsNAME(0, 0, ""),
			ValidArgsFunction: machineNames(noFiles),
			RunE: func(c *cobra.Command, args []string) error {
				return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error {
					return r.client.Execute(ctx, x.command, nil, nil)
				})
			},
		})
	}
	return append(all, a.destroyCommand())
}

func (a *app) destroyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "destroy NAME",
		Short: "Stop a machine at once",
		Long: `destroy ends the running machine NAME at once, like pulling the plug, and
waits until it has. The guest loses what it has not written to its disks. Its
files stay.`,
		Example:           "  govmm destroy vm",
		Args:              argsNAME(0, 0, ""),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error {
				if err := r.client.Execute(ctx, "quit", nil, nil); err != nil {
					return err
				}
				for {
					if _, err := r.client.Next(ctx); errors.Is(err, io.EOF) {
						return nil
					} else if err != nil {
						return err
					}
				}
			})
		},
	}
}
