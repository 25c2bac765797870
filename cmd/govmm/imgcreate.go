package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/block/image"
)

func (a *app) imgCreateCommand() *cobra.Command {
	var (
		flags   imageFlags
		options image.CreateOptions
		words   []string
		quiet   bool
	)
	cmd := &cobra.Command{
		Use:   "create [-f FMT] [-b BACKING -F FMT] FILE [SIZE]",
		Short: "Make an image",
		Long: `create makes an image in FILE, whose content is lost if there is one. SIZE is
that of the disk, with b, k, M, G, T, P or E; that of the backing file if it is
missing. "-o help" lists what else can be said for a format.`,
		Example: `  govmm img create disk.raw 20G
  govmm img create -f qcow2 -o compression_type=zstd disk.qcow2 20G
  govmm img create -f qcow2 -b disk.qcow2 -F qcow2 over.qcow2`,
		Args: func(c *cobra.Command, args []string) error {
			if wantsHelp(words) {
				return nil
			}
			return argsNamed(1, "FILE", "SIZE")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) (err error) {
			if wantsHelp(words) {
				return a.printOptions(flags.format)
			}
			options.Source = image.Source{Name: args[0], Format: flags.format, BackingFormat: flags.backing}
			if options.Secret, err = secretFile(flags.secret); err != nil {
				return err
			}
			if options.Values, err = parseWords(words); err != nil {
				return usageError(c, err)
			}
			options.Size = -1
			if len(args) == 2 {
				if options.Size, err = image.ParseSize(args[1]); err != nil {
					return usageError(c, err)
				}
			}
			options.Log = a.log
			size, err := image.Create(c.Context(), options)
			if err != nil || quiet {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "Formatting '%s', fmt=%s size=%d\n", args[0], flags.format, size)
			return err
		},
	}
	cmd.Flags().StringVarP(&flags.format, "format", "f", "raw", "the format of FILE")
	cmd.Flags().StringVarP(&options.Backing, "backing", "b", "", "the file behind the image")
	cmd.Flags().StringVarP(&flags.backing, "backing-format", "F", "", "the format of the file behind the image")
	cmd.Flags().StringVar(&flags.secret, "secret", "", "the file with the passphrase of an encrypted image")
	cmd.Flags().BoolVarP(&options.Unchecked, "unchecked", "u", false, "do not look for the backing file")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	wordsFlag(cmd, &words)
	completeFormats(cmd, "format")
	completeFormats(cmd, "backing-format")
	return cmd
}

// wordsFlag gives a command the flag -o.
func wordsFlag(c *cobra.Command, words *[]string) {
	c.Flags().StringArrayVarP(words, "options", "o", nil, "NAME=VALUE[,...] for the new image; help lists them")
}

func wantsHelp(words []string) bool {
	for _, w := range words {
		if w == "help" || w == "?" {
			return true
		}
	}
	return false
}

// parseWords reads what is said with -o.
func parseWords(words []string) (list []image.Value, err error) {
	for _, w := range words {
		more, err := image.ParseOptions(w)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

// printOptions lists what -o takes for a format.
func (a *app) printOptions(format string) error {
	f, err := image.FindFormat(format)
	if err != nil {
		return err
	}
	if !f.Creates {
		return errors.New("images of format " + format + " can be read, but not made")
	}
	fmt.Fprintf(a.stdout, "Supported options for format %s:\n", format)
	t := newTable(a.stdout)
	for _, o := range append(f.Options, image.Option{Name: "size", Help: "that of the disk"}) {
		fmt.Fprintf(t, "  %s\t%s\n", o.Name, o.Help)
	}
	return t.Flush()
}
