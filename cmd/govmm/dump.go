package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/vmm/statedir"
)

func (a *app) dumpCommand() *cobra.Command {
	var compress bool
	cmd := &cobra.Command{
		Use:   "dump NAME FILE",
		Short: "Write a machine's memory to a file",
		Long: `dump writes the memory of the machine NAME and the registers of its vCPUs to
FILE, an ELF core file that crash and gdb read. A machine that runs is paused
meanwhile. Where the guest's memory is all zero, the file has holes. With
--compress it is a stream for zstd.

The machine's process writes the file, which its user alone can read. A signal
(Ctrl-C) cancels the dump: the file is removed, and the machine goes on.`,
		Example: `  govmm dump vm vm.core
  govmm dump --compress vm vm.core.zst`,
		Args:              argsNAME(1, 1, "FILE"),
		ValidArgsFunction: machineNames(1),
		RunE: func(c *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[1])
			if err != nil {
				return err
			}
			request := map[string]any{"paging": false, "protocol": "file:" + path}
			if compress {
				request["format"] = "__com.github.govmm_elf-zstd"
			}
			e, err := statedir.Find(statedir.Root(), args[0])
			if err != nil {
				return err
			}
			return a.dump(c.Context(), e, request)
		},
	}
	cmd.Flags().BoolVar(&compress, "compress", false, "compress the file (zstd)")
	return cmd
}

// dump asks for a dump, which takes as long as it takes, and shows on a terminal how
// far it is. A signal cancels it.
func (a *app) dump(parent context.Context, e statedir.Entry, request map[string]any) error {
	client, err := connect(parent, e)
	if err != nil {
		return err
	}
	defer client.Close()
	watcher, err := connect(parent, e)
	if err != nil {
		return err
	}
	defer watcher.Close()
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	handleSignals(stop, nil)
	written := make(chan error, 1)
	go func() { written <- client.Execute(parent, "dump-guest-memory", request, nil) }()
	progress := a.showProgress()
	defer progress.end()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-written:
			progress.end()
			if err != nil && ctx.Err() != nil {
				return ended(ctx, err)
			}
			return err
		case <-tick.C:
		}
		switch {
		case ctx.Err() != nil:
			// It may not have begun, or be complete. Either is seen by the next look.
			_ = watcher.Execute(parent, "__com.github.govmm_dump-cancel", nil, nil)
		case progress.shown:
			var s struct {
				Status           string
				Completed, Total uint64
			}
			if err := watcher.Execute(parent, "query-dump", nil, &s); err == nil && s.Status == "active" {
				progress.show(s.Completed, s.Total)
			}
		}
	}
}
