package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/block/image"
	"github.com/govmm/govmm/vmm"
)

func (a *app) imgCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "img",
		Short: "Create, copy, check and change disk images",
		Long: `img does with disk images what qemu-img does, in its words. FILE is a file, a
block device, or the export of an NBD server: nbd://HOST[:PORT]/EXPORT or
nbd+unix:///EXPORT?socket=PATH. The format is always said (-f, -O): a guest can
make its own disk look like any other. "img info" alone guesses it.

Images that a machine or QEMU has open are refused, where that would do harm.`,
		Example: `  govmm img create -f qcow2 disk.qcow2 20G
  govmm img convert -p -f qcow2 -O raw disk.qcow2 disk.raw
  govmm img info disk.qcow2`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError(c, fmt.Errorf("unknown command %q", args[0]))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(
		a.imgCreateCommand(),
		a.imgInfoCommand(),
		a.imgCheckCommand(),
		a.imgConvertCommand(),
		a.imgResizeCommand(),
		a.imgSnapshotCommand(),
		a.imgCommitCommand(),
		a.imgCompareCommand(),
		a.imgMapCommand(),
	)
	return cmd
}

// imageFlags are the flags that say what an image is.
type imageFlags struct {
	format  string
	secret  string
	backing string
}

func (f *imageFlags) register(c *cobra.Command) {
	c.Flags().StringVarP(&f.format, "format", "f", "", "the format of FILE")
	f.registerRest(c)
	completeFormats(c, "format")
}

// registerRest is for commands that have another meaning for -f.
func (f *imageFlags) registerRest(c *cobra.Command) {
	c.Flags().StringVar(&f.secret, "secret", "", "the file with the passphrase of an encrypted image")
	c.Flags().StringVar(&f.backing, "backing-format", "", "the format of a backing file, where the image does not record it")
}

// completeFormats completes the value of a flag in the shell.
func completeFormats(c *cobra.Command, flag string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(image.FormatNames(), cobra.ShellCompDirectiveNoFileComp))
}

// source is the image of a name.
func (f *imageFlags) source(ctx context.Context, name string) (image.Source, error) {
	s := image.Source{Name: name, Format: f.format, BackingFormat: f.backing}
	if s.Format == "" {
		err := fmt.Errorf("%s: its format is missing (-f FMT)", name)
		if guess, guessErr := image.Probe(ctx, name, true); guessErr == nil {
			err = fmt.Errorf("%s: its format is missing (-f FMT); it looks like %s", name, guess)
		}
		return s, err
	}
	var err error
	s.Secret, err = secretFile(f.secret)
	return s, err
}

// secretFile reads a passphrase, nil without a file.
func secretFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	return vmm.FileSecret(path)
}

// argsNamed wants as many arguments as there are names, of which some at the end may be
// missing.
func argsNamed(missing int, names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names)-missing:
			return usageError(c, fmt.Errorf("%s is missing", names[len(args)]))
		case len(args) > len(names):
			return usageError(c, fmt.Errorf("%q is too much", args[len(names)]))
		}
		return nil
	}
}

// outputFlag gives a command the flag --output, of which the value is human or
// json.
func outputFlag(c *cobra.Command) (asJSON func() (bool, error)) {
	word := c.Flags().String("output", "human", "human or json")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"human", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return func() (bool, error) {
		if *word != "human" && *word != "json" {
			return false, usageError(c, fmt.Errorf("--output=%s is not one of human, json", *word))
		}
		return *word == "json", nil
	}
}

// cacheFlag gives a command a flag for a cache mode.
func cacheFlag(c *cobra.Command, name, short, otherwise, usage string) func() (image.Cache, error) {
	word := c.Flags().StringP(name, short, otherwise, usage+": none, writeback or unsafe")
	return func() (image.Cache, error) {
		cache, err := image.ParseCache(*word)
		if err != nil {
			err = usageError(c, err)
		}
		return cache, err
	}
}

// work is a command that takes its time: a signal cancels it, and its progress is
// shown.
type work struct {
	quiet, progress bool
}

func (w *work) register(c *cobra.Command) {
	c.Flags().BoolVarP(&w.quiet, "quiet", "q", false, "print nothing but errors")
	c.Flags().BoolVarP(&w.progress, "progress", "p", false, "show the progress, also where standard error is no terminal")
}

func (w *work) do(a *app, parent context.Context, f func(ctx context.Context, p *image.Progress) error) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	handleSignals(stop, nil)
	var p image.Progress
	done := make(chan error, 1)
	go func() { done <- f(ctx, &p) }()
	showing := !w.quiet && (w.progress || isTerminal(a.stderr.file))
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if showing {
				a.endProgress(&p, err == nil && w.progress)
			}
			if err != nil && ctx.Err() != nil {
				return ended(ctx, err)
			}
			return err
		case <-tick.C:
			if showing && p.Total() > 0 {
				fmt.Fprint(a.stderr, "\r"+progressBar(uint64(p.Done()), uint64(p.Total())))
			}
		}
	}
}

// endProgress removes the bar, or leaves it as it is at the end.
func (a *app) endProgress(p *image.Progress, stays bool) {
	if stays {
		fmt.Fprintln(a.stderr, "\r"+progressBar(uint64(p.Done()), uint64(p.Total())))
		return
	}
	if isTerminal(a.stderr.file) {
		fmt.Fprint(a.stderr, "\r\x1b[K")
	}
}

// keepNegative makes the size in `img resize FILE -1G` an argument, and not a
// flag, as qemu-img does.
func keepNegative(args []string) []string {
	if len(args) < 3 || args[0] != "img" || args[1] != "resize" {
		return args
	}
	last := args[len(args)-1]
	if len(last) < 2 || last[0] != '-' || last[1] < '0' || last[1] > '9' {
		return args
	}
	head := args[:len(args)-1]
	return append(head[:len(head):len(head)], "--", last)
}
