package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

func (a *app) validateCommand() *cobra.Command {
	var host, quiet, asJSON bool
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Judge domain files without running them",
		Long: `validate reads each FILE ("-" is the standard input) and reports everything
that is wrong with it, and everything that this version of govmm would refuse
to run, in the words of "run". It judges the file alone: a missing image or
bridge is no error, unless --host asks this host too.

The exit code is that of the worst file: 2 not valid, 1 cannot be read, 3 valid
but not supported, 4 this host cannot run it, 0 all can be run. With --json all
of this is a list on standard output, of each file with its own code.`,
		Example: `  govmm validate vm.xml
  govmm validate --host /etc/libvirt/qemu/*.xml`,
		Args:              argsFILE(true),
		ValidArgsFunction: xmlFiles,
		RunE: func(c *cobra.Command, args []string) error {
			worst, verdicts := exitOK, []verdictJSON{}
			for _, name := range args {
				j := a.judge(name)
				if j.code == exitOK && host {
					if err := vmm.CheckDomain(c.Context(), j.domain, vmm.Options{Log: a.log}); err != nil {
						prefix := name + ": "
						if placed := (*domcfg.Error)(nil); errors.As(err, &placed) {
							prefix = "" // it has the file's name
						}
						j.fail(hostCode(err), prefix, err)
					}
				}
				worst = worse(worst, j.code)
				if asJSON {
					verdicts = append(verdicts, verdictJSON{name, j.code, append([]string{}, j.said...)})
					continue
				}
				_ = a.report(j) // the worst one is returned
				if j.code != exitOK || quiet {
					continue
				}
				if _, err := fmt.Fprintf(a.stdout, "%s: valid\n", name); err != nil {
					return err
				}
			}
			if asJSON {
				if err := printJSON(a.stdout, verdicts); err != nil {
					return err
				}
			}
			if worst != exitOK {
				return &exitCode{code: worst}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&host, "host", false, "also check that this host can run them: files, memory, KVM")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing of valid files")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// verdictJSON is what there is to say of one file.
type verdictJSON struct {
	File string   `json:"file"`
	Code int      `json:"code"` // the exit code for it alone
	Said []string `json:"said"` // warnings, errors and refusals, as they are printed otherwise
}

// worse picks the exit code of several files: invalid before unreadable before
// unsupported before a host that cannot.
func worse(a, b int) int {
	rank := map[int]int{exitOK: 0, exitHost: 1, exitUnsupported: 2, exitError: 3, exitInvalid: 4}
	if rank[b] > rank[a] {
		return b
	}
	return a
}
