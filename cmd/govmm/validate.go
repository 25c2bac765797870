package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/vmm"
)

func (a *app) validateCommand() *cobra.Command {
	var host, quiet bool
	cmd := &cobra.Command{
		Use:   "validate FILE...",
		Short: "Judge domain files without running them",
		Long: `validate reads each file and reports everything that is wrong with it, and
everything this version of govmm would refuse to run, in the words of "run".
It judges the file alone: a missing image or bridge is no error, unless --host
asks this host too.`,
		Example: `  govmm validate vm.xml
  govmm validate --host /etc/libvirt/qemu/*.xml`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: xmlFiles,
		RunE: func(c *cobra.Command, args []string) error {
			worst := exitOK
			for _, name := range args {
				j := a.judge(name)
				if j.err == nil && host {
					if err := vmm.CheckDomain(c.Context(), j.domain, vmm.Options{}); err != nil {
						j.err = hostExit(err)
					}
				}
				a.report(j)
				code := exitOK
				if e := (*exitCode)(nil); errors.As(j.err, &e) {
					code = e.code
				} else if j.err != nil {
					code = exitError
				}
				worst = worse(worst, code)
				if !quiet && code == exitOK {
					fmt.Fprintf(a.stdout, "%s: valid\n", name)
				}
			}
			if worst != exitOK {
				return &exitCode{code: worst}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&host, "host", false, "also check that this host can run them: files, devices, memory, KVM")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing of valid files")
	return cmd
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
