package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/block/image"
)

func (a *app) imgConvertCommand() *cobra.Command {
	var (
		flags     imageFlags
		options   image.ConvertOptions
		w         work
		words     []string
		format    string
		secret    string
		sparse    string
		fromCache func() (image.Cache, error)
		toCache   func() (image.Cache, error)
	)
	cmd := &cobra.Command{
		Use:   "convert -f FMT [-O FMT] FILE NEW",
		Short: "Copy an image into another format",
		Long: `convert copies the disk in FILE, with what is behind it, into the image NEW of
another format or the same. What reads as zeroes takes up no space in it. After
an error or a signal nothing is left of NEW, if it was not there before.

Without -W an image is filled from its beginning to its end. With the cache mode
unsafe, the default for NEW, it may still be in the host's memory when the
command ends; with the others it is on the disk.`,
		Example: `  govmm img convert -p -c -f raw -O qcow2 disk.raw disk.qcow2
  govmm img convert -f raw -O luks --target-secret pass disk.raw disk.luks
  govmm img convert -f raw -O raw nbd://server/disk disk.raw`,
		Args: func(c *cobra.Command, args []string) error {
			if wantsHelp(words) {
				return nil
			}
			return argsNamed(0, "FILE", "NEW")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if wantsHelp(words) {
				return a.printOptions(format)
			}
			if options.From, err = flags.source(c.Context(), args[0]); err != nil {
				return err
			}
			options.To = image.Source{Name: args[1], Format: format}
			if options.To.Secret, err = secretFile(secret); err != nil {
				return err
			}
			if options.Values, err = parseWords(words); err != nil {
				return usageError(c, err)
			}
			if options.Sparse, err = image.ParseSize(sparse); err != nil || options.Sparse%512 != 0 {
				return usageError(c, fmt.Errorf("-S %s is no multiple of 512", sparse))
			}
			if options.Sparse == 0 {
				options.Sparse = -1
			}
			if options.FromCache, err = fromCache(); err != nil {
				return err
			}
			if options.ToCache, err = toCache(); err != nil {
				return err
			}
			if options.Workers < 1 || options.Workers > image.MaxWorkers {
				return usageError(c, fmt.Errorf("-m %d is not from 1 to %d", options.Workers, image.MaxWorkers))
			}
			if options.Zeroed && !options.Existing {
				return usageError(c, fmt.Errorf("--target-is-zero is for images that are there already (-n)"))
			}
			options.Log = a.log
			return w.do(a, c.Context(), func(ctx context.Context, p *image.Progress) error {
				options.Progress = p
				return image.Convert(ctx, options)
			})
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.StringVarP(&format, "output-format", "O", "raw", "the format of NEW")
	f.StringVar(&secret, "target-secret", "", "the file with the passphrase of NEW")
	f.BoolVarP(&options.Compress, "compress", "c", false, "compress NEW")
	f.StringVarP(&sparse, "sparse-size", "S", "4k", "zeroes of this length are not written; 0 writes them all")
	f.IntVarP(&options.Workers, "parallel", "m", image.DefaultWorkers, "how many pieces are copied at a time, up to 16")
	f.BoolVarP(&options.OutOfOrder, "out-of-order", "W", false, "write to NEW in any order")
	f.BoolVarP(&options.Offload, "copy-range", "C", false, "have the host copy from raw file to raw file")
	f.BoolVarP(&options.Existing, "no-create", "n", false, "copy into NEW as it is")
	f.BoolVar(&options.Zeroed, "target-is-zero", false, "with -n: NEW reads as zeroes")
	fromCache = cacheFlag(cmd, "source-cache", "T", "writeback", "the cache mode for FILE")
	toCache = cacheFlag(cmd, "cache", "t", "unsafe", "the cache mode for NEW")
	forceShareFlag(cmd, &options.ForceShare)
	wordsFlag(cmd, &words)
	w.register(cmd)
	completeFormats(cmd, "output-format")
	return cmd
}
