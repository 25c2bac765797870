package main

import (
	"crypto/rand"
	"io"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
)

func (a *app) dumpxmlCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dumpxml FILE",
		Short: "Print a domain file as govmm understands it",
		Long: `dumpxml prints the canonical form of a domain file ("-" is the standard input):
defaults written out, units in KiB, addresses and port numbers filled in as
"run" would assign them. The same file always gives the same output, and the
output, read again, gives itself. A missing uuid stays missing: each run gets
another one. Files that this version cannot run are printed all the same.`,
		Example: `  govmm dumpxml vm.xml
  govmm dumpxml - < vm.xml`,
		Args:              argsFILE(false),
		ValidArgsFunction: xmlFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			j := a.judge(args[0])
			if j.domain == nil {
				return a.report(j)
			}
			return dumpxml(a.stdout, j.domain)
		},
	}
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
