package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/vmm"
)

func (a *app) checkCommand() *cobra.Command {
	var asJSON bool
	var device string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell what this host's KVM can do",
		Long: `check opens /dev/kvm, asks it for the capabilities that govmm needs and those it
makes use of, and measures how fast guest kernel code runs.

Some KVMs (the paravirtual kind in a container host, very old processors) only
interpret the guest's kernel code. check says so: small test kernels run there,
stock kernels do not boot.

The exit code is 0 when machines can run, 4 when not.`,
		Example: `  govmm check
  govmm check --json`,
		Args: argsNone,
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := vmm.Check(c.Context(), device)
			if r == nil {
				return &exitCode{hostCode(err), err}
			}
			show := func() error { return printReport(a.stdout, r) }
			if asJSON {
				show = func() error { return printJSON(a.stdout, r) }
			}
			if err := show(); err != nil {
				return err
			}
			switch {
			case err != nil:
				return &exitCode{exitHost, err}
			case !r.Usable():
				return &exitCode{exitHost, errors.New("this host's KVM lacks what every machine needs")}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().StringVar(&device, "device", "/dev/kvm", "KVM device to check")
	return cmd
}

// printReport prints in the manner of virt-host-validate.
func printReport(w io.Writer, r *vmm.HostReport) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "%s can be opened\tPASS\n", r.Path)
	for _, c := range r.Required {
		fmt.Fprintf(t, "%s\t%s\n", c.Name, verdict(c.Value, "FAIL (needed)"))
	}
	for _, c := range r.Optional {
		fmt.Fprintf(t, "%s\t%s\n", c.Name, verdict(c.Value, "no"))
	}
	fmt.Fprintf(t, "vCPUs of one machine\t%d\n", r.MaxVCPUs)
	fmt.Fprintf(t, "guest-physical address\t%d bits\n", r.PhysicalBits)
	switch {
	case r.GuestMIPS == 0:
	case r.Interpreted:
		fmt.Fprintf(t, "guest kernel code\tWARN: interpreted\n")
	default:
		fmt.Fprintf(t, "guest kernel code\tPASS\n")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.GuestMIPS == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nA loop in the guest's kernel mode made %.3g million instructions a second, on the host %.3g.\n", r.GuestMIPS, r.HostMIPS)
	if r.Interpreted && err == nil {
		_, err = io.WriteString(w, `This KVM interprets the guest's kernel code instead of running it on the
processor: stock kernels do not boot here, small test kernels do, and an
instruction that the interpreter does not know ends the guest (exit code 5).
`)
	}
	return err
}

func verdict(value int, no string) string {
	if value == 0 {
		return no
	}
	return "PASS"
}
