package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/block/image"
)

func (a *app) imgResizeCommand() *cobra.Command {
	var (
		flags   imageFlags
		options image.ResizeOptions
		quiet   bool
	)
	cmd := &cobra.Command{
		Use:   "resize -f FMT FILE [+|-]SIZE",
		Short: "Change the size of an image",
		Long: `resize makes the disk in FILE SIZE bytes long, or with + or - longer or shorter
by that. What is new reads as zeroes. The guest's partitions and file systems
are its own to resize: before the image is made smaller, or after it has grown.`,
		Example: `  govmm img resize -f qcow2 disk.qcow2 +10G
  govmm img resize -f raw --shrink disk.raw 5G`,
		Args: argsNamed(0, "FILE", "SIZE"),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if options.Source, err = flags.source(c.Context(), args[0]); err != nil {
				return err
			}
			options.Size, options.Log = args[1], a.log
			if _, err = image.Resize(c.Context(), options); err != nil || quiet {
				return err
			}
			_, err = fmt.Fprintln(a.stdout, "Image resized.")
			return err
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&options.Shrink, "shrink", false, "allow to make it smaller, which loses what is at its end")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

func (a *app) imgCommitCommand() *cobra.Command {
	var (
		flags   imageFlags
		options image.CommitOptions
		w       work
	)
	cmd := &cobra.Command{
		Use:   "commit -f FMT [-b BASE] FILE",
		Short: "Merge an image into the one behind it",
		Long: `commit writes what the image in FILE has to its backing file, and then empties
FILE, if its format can be. With -b it writes what FILE and the images behind it
have to BASE, which is one of them; those in between are of no use afterwards.`,
		Example: `  govmm img commit -f qcow2 over.qcow2`,
		Args:    argsNamed(0, "FILE"),
	}
	cache := cacheFlag(cmd, "cache", "t", "writeback", "the cache mode")
	cmd.RunE = func(c *cobra.Command, args []string) (err error) {
		if options.Source, err = flags.source(c.Context(), args[0]); err != nil {
			return err
		}
		if options.Cache, err = cache(); err != nil {
			return err
		}
		options.Log = a.log
		err = w.do(a, c.Context(), func(ctx context.Context, p *image.Progress) error {
			options.Progress = p
			return image.Commit(ctx, options)
		})
		if err != nil || w.quiet {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, "Image committed.")
		return err
	}
	flags.register(cmd)
	cmd.Flags().StringVarP(&options.Base, "base", "b", "", "the image to merge into; without it the one right behind FILE")
	cmd.Flags().BoolVarP(&options.Drop, "drop", "d", false, "do not empty FILE")
	cmd.Flags().IntVarP(&options.Workers, "parallel", "m", image.DefaultWorkers, "how many pieces are copied at a time, up to 16")
	w.register(cmd)
	return cmd
}

// The exit codes of img compare, which are qemu-img's.
const (
	imgDiffer     = 1
	imgCannotOpen = 2
	imgCannotRead = 4
)

func (a *app) imgCompareCommand() *cobra.Command {
	var (
		flags   imageFlags
		options image.CompareOptions
		w       work
		second  string
	)
	cmd := &cobra.Command{
		Use:   "compare -f FMT -F FMT FILE1 FILE2",
		Short: "Compare two images",
		Long: `compare tells whether the disks in FILE1 and FILE2 hold the same. The exit code
is 0 if so, 1 if not, 2 if one cannot be opened, and 4 if one cannot be read.`,
		Example: `  govmm img compare -f qcow2 -F raw disk.qcow2 disk.raw`,
		Args:    argsNamed(0, "FILE1", "FILE2"),
	}
	cache := cacheFlag(cmd, "source-cache", "T", "writeback", "the cache mode")
	cmd.RunE = func(c *cobra.Command, args []string) (err error) {
		if options.A, err = flags.source(c.Context(), args[0]); err != nil {
			return &exitCode{imgCannotOpen, err}
		}
		flags.format = second
		if options.B, err = flags.source(c.Context(), args[1]); err != nil {
			return &exitCode{imgCannotOpen, fmt.Errorf("%w (of the second image: -F)", err)}
		}
		if options.Cache, err = cache(); err != nil {
			return err
		}
		var d image.Difference
		err = w.do(a, c.Context(), func(ctx context.Context, p *image.Progress) (err error) {
			options.Progress = p
			d, err = image.Compare(ctx, options)
			return err
		})
		if failed := (*image.CompareError)(nil); errors.As(err, &failed) {
			if failed.Opening {
				return &exitCode{imgCannotOpen, err}
			}
			if e := (*exitCode)(nil); !errors.As(err, &e) || e.code == exitError {
				return &exitCode{imgCannotRead, err}
			}
		}
		if err != nil {
			return err
		}
		return a.printDifference(&d, w.quiet, options.Strict)
	}
	flags.register(cmd)
	cmd.Flags().StringVarP(&second, "second-format", "F", "", "the format of FILE2")
	cmd.Flags().BoolVarP(&options.Strict, "strict", "s", false, "images of different sizes differ")
	forceShareFlag(cmd, &options.ForceShare)
	w.register(cmd)
	completeFormats(cmd, "second-format")
	return cmd
}

func (a *app) printDifference(d *image.Difference, quiet, strict bool) error {
	say := func(format string, args ...any) {
		if !quiet {
			fmt.Fprintf(a.stdout, format+"\n", args...)
		}
	}
	switch {
	case d.Sizes && strict:
		say("Strict mode: Image size mismatch!")
		return &exitCode{code: imgDiffer}
	case d.Sizes:
		say("Warning: Image size mismatch!")
	}
	if d.Offset >= 0 {
		say("Content mismatch at offset %d!", d.Offset)
		return &exitCode{code: imgDiffer}
	}
	say("Images are identical.")
	return nil
}

func (a *app) imgMapCommand() *cobra.Command {
	var (
		flags imageFlags
		share bool
	)
	cmd := &cobra.Command{
		Use:   "map -f FMT FILE",
		Short: "Tell where an image has its data",
		Long: `map prints which stretches of the disk in FILE hold data, and which of the
images that lie behind each other has them: 0 is FILE. With --output=json it
also tells of those that are zeroes.`,
		Example: `  govmm img map -f qcow2 over.qcow2`,
		Args:    argsNamed(0, "FILE"),
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		jsonWanted, err := asJSON()
		if err != nil {
			return err
		}
		s, err := flags.source(c.Context(), args[0])
		if err != nil {
			return err
		}
		i, err := image.Open(c.Context(), s, image.OpenOptions{ReadOnly: true, ForceShare: share, Log: a.log})
		if err != nil {
			return err
		}
		return errors.Join(printMap(a.stdout, i, jsonWanted), i.Close())
	}
	flags.register(cmd)
	forceShareFlag(cmd, &share)
	return cmd
}

// printMap prints a region a line.
func printMap(w io.Writer, i *image.Image, asJSON bool) error {
	if !asJSON {
		t := newTable(w)
		fmt.Fprintln(t, "Offset\tLength\tDepth")
		err := i.Map(func(r image.Region) error {
			if !r.Data {
				return nil
			}
			_, err := fmt.Fprintf(t, "%#x\t%#x\t%d\n", r.Start, r.Length, r.Depth)
			return err
		})
		return errors.Join(err, t.Flush())
	}
	before := "["
	err := i.Map(func(r image.Region) error {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s", before, line)
		before = ",\n"
		return err
	})
	if err != nil {
		return err
	}
	if before == "[" {
		fmt.Fprint(w, before)
	}
	_, err = fmt.Fprintln(w, "]")
	return err
}
