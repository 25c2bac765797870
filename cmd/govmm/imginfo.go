package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/block/image"
)

func (a *app) imgInfoCommand() *cobra.Command {
	var (
		flags   imageFlags
		options image.InfoOptions
	)
	cmd := &cobra.Command{
		Use:   "info [-f FMT] FILE",
		Short: "Tell what an image is",
		Long: `info prints what the image in FILE is, and with --backing-chain also those
behind it. Without -f the format is guessed, of which a note is printed.`,
		Example: `  govmm img info disk.qcow2
  govmm img info -f qcow2 --backing-chain --output=json over.qcow2`,
		Args: argsNamed(0, "FILE"),
	}
	asJSON := outputFlag(cmd)
	cmd.RunE = func(c *cobra.Command, args []string) error {
		jsonWanted, err := asJSON()
		if err != nil {
			return err
		}
		if flags.format == "" {
			if flags.format, err = image.Probe(c.Context(), args[0], options.ForceShare); err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "govmm: %s: the format %s is guessed from what the image holds; -f says it\n", args[0], flags.format)
		}
		s, err := flags.source(c.Context(), args[0])
		if err != nil {
			return err
		}
		options.Log = a.log
		list, err := image.ReadInfo(c.Context(), s, options)
		switch {
		case err != nil:
			return err
		case jsonWanted && options.Chain:
			return printJSON(a.stdout, list)
		case jsonWanted:
			return printJSON(a.stdout, list[0])
		}
		for n, i := range list {
			if n > 0 {
				fmt.Fprintln(a.stdout)
			}
			printInfo(a.stdout, i)
		}
		return nil
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&options.Chain, "backing-chain", false, "also the images behind it")
	forceShareFlag(cmd, &options.ForceShare)
	return cmd
}

// forceShareFlag gives a command the flag -U.
func forceShareFlag(c *cobra.Command, v *bool) {
	c.Flags().BoolVarP(v, "force-share", "U", false, "look at an image that is in use; what is seen may be nonsense")
}

// printInfo prints what `qemu-img info` does.
func printInfo(w io.Writer, i *image.Info) {
	d := &i.Details
	fmt.Fprintf(w, "image: %s\nfile format: %s\nvirtual size: %s (%d bytes)\n", i.Source.Name, i.Source.Format, humanSize(d.Size), d.Size)
	if i.DiskSize >= 0 {
		fmt.Fprintf(w, "disk size: %s\n", humanSize(i.DiskSize))
	} else {
		fmt.Fprintln(w, "disk size: unavailable")
	}
	if d.Encrypted {
		fmt.Fprintln(w, "encrypted: yes")
	}
	if d.ClusterSize > 0 {
		fmt.Fprintf(w, "cluster_size: %d\n", d.ClusterSize)
	}
	if d.Dirty {
		fmt.Fprintln(w, "cleanly shut down: no")
	}
	if d.Backing != "" {
		fmt.Fprintf(w, "backing file: %s", d.Backing)
		if i.FullBacking != "" && i.FullBacking != d.Backing {
			fmt.Fprintf(w, " (actual path: %s)", i.FullBacking)
		}
		fmt.Fprintln(w)
		if d.BackingFormat != "" {
			fmt.Fprintf(w, "backing file format: %s\n", d.BackingFormat)
		}
	}
	if len(d.Snapshots) > 0 {
		printSnapshots(w, d.Snapshots)
	}
	if len(d.Specific) > 0 {
		fmt.Fprintln(w, "Format specific information:")
		printNested(w, "    ", d.Specific)
	}
}

// printNested prints fields, with those within them further to the right.
func printNested(w io.Writer, indent string, fields []image.Field) {
	for _, f := range fields {
		f.Name = strings.ReplaceAll(f.Name, "-", " ")
		if inner, ok := f.Value.(image.Fields); ok {
			fmt.Fprintf(w, "%s%s:\n", indent, f.Name)
			printNested(w, indent+"    ", inner)
			continue
		}
		fmt.Fprintf(w, "%s%s: %v\n", indent, f.Name, f.Value)
	}
}

// printSnapshots prints a list as `qemu-img snapshot -l` does.
func printSnapshots(w io.Writer, list []image.Snapshot) {
	fmt.Fprintln(w, "Snapshot list:")
	fmt.Fprintf(w, "%-10s%-17s%8s%20s%13s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK")
	for _, s := range list {
		clock := time.Duration(s.ClockSec)*time.Second + time.Duration(s.ClockNano)
		fmt.Fprintf(w, "%-9s %-16s %8s%20s   %02d:%02d:%02d.%03d\n", s.ID, s.Name, humanSize(s.StateSize),
			time.Unix(s.Seconds, s.Nanos).Format(time.DateTime),
			clock/time.Hour, clock/time.Minute%60, clock/time.Second%60, clock/time.Millisecond%1000)
	}
}

// humanSize writes a size as QEMU does, in three digits.
func humanSize(n int64) string {
	units := []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}
	// From 1000 of a unit on, the next one has fewer digits.
	_, exponent := math.Frexp(float64(n) / (1000.0 / 1024.0))
	unit := max(0, (exponent-1)/10)
	return fmt.Sprintf("%.3g %sB", float64(n)/math.Pow(1024, float64(unit)), units[unit])
}

func (a *app) imgSnapshotCommand() *cobra.Command {
	var (
		flags imageFlags
		list  bool
		share bool
	)
	cmd := &cobra.Command{
		Use:     "snapshot -l -f FMT FILE",
		Short:   "List the internal snapshots of an image",
		Long:    "snapshot lists the snapshots that the image in FILE has within itself.",
		Example: `  govmm img snapshot -l -f qcow2 disk.qcow2`,
		Args:    argsNamed(0, "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if !list {
				return usageError(c, fmt.Errorf("snapshots can be listed (-l), and that is all"))
			}
			s, err := flags.source(c.Context(), args[0])
			if err != nil {
				return err
			}
			found, err := image.ReadInfo(c.Context(), s, image.InfoOptions{ForceShare: share, Log: a.log})
			if err != nil {
				return err
			}
			if snapshots := found[0].Details.Snapshots; len(snapshots) > 0 {
				printSnapshots(a.stdout, snapshots)
			}
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVarP(&list, "list", "l", false, "list them")
	forceShareFlag(cmd, &share)
	return cmd
}
