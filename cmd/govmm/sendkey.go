package main

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) sendKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "send-key NAME KEYS...",
		Short: "Press keys of a machine's keyboard",
		Long: `send-key presses keys of the running machine NAME and lets them go, one KEYS
after the other. Keys joined by "-" are pressed together. Keys have the names
that QEMU (ret, spc, f12, kp_enter) or Linux (enter, KEY_F12) gives them.`,
		Example: `  govmm send-key vm ctrl-alt-delete
  govmm send-key vm l s ret`,
		Args:              argsNAME(1, math.MaxInt-1, "KEYS"),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			return withMachine(c.Context(), args[0], func(ctx context.Context, r remote) error {
				for _, keys := range args[1:] {
					if err := r.press(ctx, keys); err != nil {
						return fmt.Errorf("%s: %w", keys, err)
					}
				}
				return nil
			})
		},
	}
}

// press presses keys together.
func (r *remote) press(ctx context.Context, combination string) error {
	type key struct {
		Type string `json:"type"`
		Data string `json:"data"`
	}
	var keys []key
	for name := range strings.SplitSeq(combination, "-") {
		keys = append(keys, key{"qcode", name})
	}
	return r.client.Execute(ctx, "send-key", map[string]any{"keys": keys}, nil)
}
