package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
)

func (a *app) setmemCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "setmem NAME SIZE",
		Short: "Change the memory that a guest may use",
		Long: `setmem asks the guest of the machine NAME, by way of its memory balloon, to
make do with SIZE: a number of KiB, or with a unit as in the XML (512MiB, 1G).
The command does not wait; dominfo tells how far the guest has come.`,
		Example: `  govmm setmem vm 524288
  govmm setmem vm 512MiB`,
		Args:              argsNAME(1, 1, "SIZE"),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			size, err := domcfg.ParseKiB(args[1])
			if err != nil {
				return usageError(c, err)
			}
			return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error {
				return r.client.Execute(ctx, "balloon", map[string]any{"value": size.Bytes()}, nil)
			})
		},
	}
}

func (a *app) setlinkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "domif-setlink NAME INTERFACE up|down",
		Short: "Plug a network cable in or out",
		Long: `domif-setlink plugs the cable of a network interface of the machine NAME in
(up) or out (down). INTERFACE is the host's name for it (vnet0), its MAC
address, or its alias (net0); dumpxml tells them.`,
		Example:           "  govmm domif-setlink vm vnet0 down",
		Args:              argsNAME(2, 2, "INTERFACE and up or down"),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			if args[2] != "up" && args[2] != "down" {
				return usageError(c, fmt.Errorf("%q is neither up nor down", args[2]))
			}
			request := map[string]any{"name": args[1], "up": args[2] == "up"}
			return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error {
				return r.client.Execute(ctx, "set_link", request, nil)
			})
		},
	}
}
