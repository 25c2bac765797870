package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/block/image"
)

// The exit codes of img check, which are qemu-img's.
const (
	imgCheckCorrupt = 2
	imgCheckLeaks   = 3
	imgCheckCannot  = 63 // the format has nothing to check
)

func (a *app) imgCheckCommand() *cobra.Command {
	var (
		flags   imageFlags
		options image.CheckOptions
		repair  string
		quiet   bool
	)
	cmd := &cobra.Command{
		Use:   "check -f FMT [-r leaks|all] FILE",
		Short: "Check an image, and repair it",
		Long: `check looks whether the tables of the image in FILE make sense. With -r leaks it
gives back what nothing uses; with -r all it also changes tables that make no
sense, which may lose data.

The exit code is 0 if all is well (now), 2 if the image is corrupt, 3 if it has
leaks alone, 1 if the check could not be completed, and 63 if there is nothing
in the format that could be checked.`,
		Example: `  govmm img check -f qcow2 disk.qcow2
  govmm img check -f qcow2 -r all disk.qcow2`,
		Args: argsNamed(0, "FILE"),
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		jsonWanted, err := asJSON()
		if err != nil {
			return err
		}
		switch repair {
		case "":
		case "leaks":
			options.Repair = image.RepairLeaks
		case "all":
			options.Repair = image.RepairAll
		default:
			return usageError(c, fmt.Errorf("-r %s is not one of leaks, all", repair))
		}
		s, err := flags.source(c.Context(), args[0])
		if err != nil {
			return err
		}
		options.Log = a.log
		var r image.CheckResult
		w := work{quiet: true}
		err = w.do(a, c.Context(), func(ctx context.Context, _ *image.Progress) (err error) {
			r, err = image.Check(ctx, s, options)
			return err
		})
		switch {
		case errors.Is(err, image.ErrNoCheck):
			return &exitCode{imgCheckCannot, err}
		case err != nil:
			return err
		case jsonWanted:
			err = printJSON(a.stdout, checkReport{args[0], s.Format, r, 0})
		case !quiet:
			printCheck(a.stdout, &r)
		}
		switch {
		case err != nil:
			return err
		case r.Corruptions > 0:
			return &exitCode{code: imgCheckCorrupt}
		case r.Leaks > 0:
			return &exitCode{code: imgCheckLeaks}
		}
		return nil
	}
	flags.register(cmd)
	cmd.Flags().StringVarP(&repair, "repair", "r", "", "what to repair: leaks or all")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	forceShareFlag(cmd, &options.ForceShare)
	return cmd
}

// checkReport is what `qemu-img check --output=json` prints.
type checkReport struct {
	Filename string `json:"filename"`
	Format   string `json:"format"`
	image.CheckResult
	Errors int64 `json:"check-errors"`
}

// printCheck prints what `qemu-img check` does.
func printCheck(w io.Writer, r *image.CheckResult) {
	if r.LeaksFixed > 0 || r.CorruptionsFixed > 0 {
		fmt.Fprintf(w, "The following inconsistencies were found and repaired:\n\n    %d leaked clusters\n    %d corruptions\n\n",
			r.LeaksFixed, r.CorruptionsFixed)
	}
	if r.Corruptions == 0 && r.Leaks == 0 {
		fmt.Fprintln(w, "No errors were found on the image.")
	}
	if r.Corruptions > 0 {
		fmt.Fprintf(w, "%d errors were found on the image.\nData may be corrupted, or further writes to the image may corrupt it.\n", r.Corruptions)
	}
	if r.Leaks > 0 {
		fmt.Fprintf(w, "%d leaked clusters were found on the image.\nThis means waste of disk space, but no harm to data.\n", r.Leaks)
	}
	if r.TotalClusters > 0 {
		percent := func(part, of int64) float64 { return float64(part) * 100 / float64(max(of, 1)) }
		fmt.Fprintf(w, "%d/%d = %.2f%% allocated, %.2f%% fragmented, %.2f%% compressed clusters\n",
			r.AllocatedClusters, r.TotalClusters, percent(r.AllocatedClusters, r.TotalClusters),
			percent(r.FragmentedClusters, r.AllocatedClusters), percent(r.CompressedClusters, r.AllocatedClusters))
	}
	if r.ImageEndOffset > 0 {
		fmt.Fprintf(w, "Image end offset: %d\n", r.ImageEndOffset)
	}
}
