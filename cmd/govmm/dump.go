package main

import (
	"context"
	"fmt"
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
	showing := isTerminal(a.stderr.file)
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-written:
			if showing {
				fmt.Fprint(a.stderr, "\r\x1b[K")
			}
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
		case showing:
			var s struct {
				Status           string
				Completed, Total uint64
			}
			if err := watcher.Execute(parent, "query-dump", nil, &s); err == nil && s.Status == "active" {
				fmt.Fprint(a.stderr, "\r"+progressBar(s.Completed, s.Total))
			}
		}
	}
}

// progressInterval is the time from one look at a dump to the next.
const progressInterval = 200 * time.Millisecond

// progressBar shows how much of something is done.
func progressBar(done, total uint64) string {
	const width = 40
	full := 0
	if total > 0 {
		full = int(done * width / total)
	}
	bar := make([]byte, width)
	for i := range bar {
		bar[i] = '.'
		if i < full {
			bar[i] = '='
		}
	}
	return fmt.Sprintf("[%s] %d of %d MiB", bar, done>>20, total>>20)
}
