package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (a *app) changeMediaCommand() *cobra.Command {
	var eject, force bool
	cmd := &cobra.Command{
		Use:   "change-media NAME TARGET [PATH]",
		Short: "Change what is in a drive of a machine",
		Long: `change-media puts the image at PATH into the CD-ROM or floppy drive of the
running machine NAME whose target is TARGET (hdc, fda), in place of what is
there. --eject takes that out instead.

A guest that uses a CD-ROM locks the drive. It is then asked to let go and the
medium stays, which is an error; try again, or --force.`,
		Example: `  govmm change-media vm hdc second.iso
  govmm change-media vm hdc --eject`,
		Args:              argsNAME(1, 2, "TARGET"),
		ValidArgsFunction: machineNames(2),
		RunE: func(c *cobra.Command, args []string) error {
			command, request := "eject", map[string]any{"id": args[1], "force": force}
			switch {
			case len(args) == 2 && !eject:
				return usageError(c, errors.New("PATH is missing, or --eject"))
			case len(args) == 3 && eject:
				return usageError(c, errors.New("PATH and --eject exclude each other"))
			case len(args) == 3:
				path, err := filepath.Abs(args[2])
				if err != nil {
					return err
				}
				command, request["filename"] = "blockdev-change-medium", path
			}
			return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error {
				return r.client.Execute(ctx, command, request, nil)
			})
		},
	}
	cmd.Flags().BoolVar(&eject, "eject", false, "take the medium out")
	cmd.Flags().BoolVar(&force, "force", false, "open the drive even if the guest has locked it")
	return cmd
}
