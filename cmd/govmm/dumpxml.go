package main

import (
	"context"
	"crypto/rand"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm/statedir"
)

func (a *app) dumpxmlCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dumpxml FILE|NAME",
		Short: "Print a domain as govmm understands it, or as it runs",
		Long: `dumpxml prints the canonical form of a domain file ("-" is the standard input):
defaults written out, units in KiB, addresses and port numbers filled in as
"run" would assign them. The same file always gives the same output, and the
output, read again, gives itself. A missing uuid stays missing: each run gets
another one. Files that this version cannot run are printed all the same.

If there is no file of the name and a machine NAME runs, it is printed as it
runs, with its id, the names of its ptys and taps, and what is in its drives.`,
		Example: `  govmm dumpxml vm.xml
  govmm dumpxml - < vm.xml
  govmm dumpxml vm`,
		Args:              argsFILE(false),
		ValidArgsFunction: xmlFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if live, err := a.dumpLive(c.Context(), args[0]); live {
				return err
			}
			j := a.judge(args[0])
			if j.domain == nil {
				return a.report(j)
			}
			return dumpxml(a.stdout, j.domain)
		},
	}
}

// dumpLive prints the domain of a running machine, unless there is a file of the name,
// or no such machine.
func (a *app) dumpLive(parent context.Context, name string) (live bool, err error) {
	if _, err := os.Stat(name); err == nil || name == "-" {
		return false, nil
	}
	if _, err := statedir.Find(statedir.Root(), name); err != nil {
		return false, nil // that there is no such file says enough
	}
	return true, withMachine(parent, name, func(ctx context.Context, r remote) error {
		xml, err := r.liveXML(ctx)
		if err != nil {
			return err
		}
		_, err = io.WriteString(a.stdout, xml)
		return err
	})
}

// dumpxml prints a domain with its defaults.
func dumpxml(w io.Writer, d *domcfg.Domain) error {
	given := d.UUID != (domcfg.UUID{})
	if err := d.SetDefaults(rand.Reader); err != nil {
		return err
	}
	if err := d.AssignAddresses(); err != nil {
		return err
	}
	if !given {
		d.UUID = domcfg.UUID{}
	}
	return d.Format(w)
}
