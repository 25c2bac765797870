// Command govmm runs the virtual machine that a libvirt domain XML file
// describes, on Linux KVM.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// The exit codes of every command. README.md documents them.
const (
	exitOK          = 0 // the guest powered off; the file is valid
	exitError       = 1 // wrong usage, or a file or device of the host could not be used
	exitInvalid     = 2 // the XML is not a valid domain
	exitUnsupported = 3 // a valid domain that this version cannot run
	exitHost        = 4 // this host cannot run it
	exitCrashed     = 5 // the guest crashed
	exitSignal      = 128
)

// exitCode is an error that says what the process exits with. A silent one has
// been reported already.
type exitCode struct {
	code int
	err  error // nil: silent
}

func (e *exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitCode) Unwrap() error { return e.err }

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main without the process around it.
func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	app := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := app.rootCommand()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	code := exitError
	if e := (*exitCode)(nil); errors.As(err, &e) {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	fmt.Fprintf(stderr, "govmm: %v\n", err)
	return code
}

// app is what all commands share.
type app struct {
	stdin          *os.File
	stdout, stderr io.Writer
	log            logFlags
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "govmm",
		Short: "Run libvirt domain XML files on KVM",
		Long: `govmm reads a libvirt domain XML file, builds that machine and runs it on
Linux KVM. It needs neither libvirtd nor QEMU.`,
		Example: `  govmm run vm.xml         run the machine, its console on this terminal
  govmm validate *.xml     judge files without running them
  govmm dumpxml vm.xml     the file as govmm understands it
  govmm check              what this host can do`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.log.register(root)
	root.AddCommand(
		a.runCommand(),
		a.validateCommand(),
		a.dumpxmlCommand(),
		a.checkCommand(),
		a.versionCommand(),
	)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see govmm %s --help)", err, c.Name())
	})
	return root
}
