// Command govmm runs the virtual machine that a libvirt domain XML file
// describes, on Linux KVM.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

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
func run(args []string, stdin, stdout, stderr *os.File) int {
	app := &app{stdin: stdin, stdout: stdout, stderr: &screen{file: stderr}}
	root := app.rootCommand()
	root.SetArgs(keepNegative(args))
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
	if _, _, unknown := root.Find(args); unknown != nil {
		err = unknownCommand(root, unknown)
	}
	fmt.Fprintf(app.stderr, "govmm: %v\n", err)
	return code
}

// app is what all commands share.
type app struct {
	stdin, stdout *os.File
	stderr        *screen
	logging       logFlags
	log           *slog.Logger // as the flags say
	control       control      // of the machine that runs here
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "govmm",
		Short: "Run libvirt domain XML files on KVM",
		Long: `govmm reads a libvirt domain XML file, builds that machine and runs it on
Linux KVM. It needs neither libvirtd nor QEMU.`,
		Example: `  govmm run vm.xml         run the machine, its console on this terminal
  govmm start vm.xml       run it in the background
  govmm list               the machines that run
  govmm console NAME       the console of one of them
  govmm validate *.xml     judge files without running them
  govmm dumpxml vm.xml     the file as govmm understands it
  govmm check              what this host can do
  govmm img info FILE      what a disk image is, and more about images`,
		PersistentPreRunE: func(*cobra.Command, []string) (err error) {
			a.log, err = a.logging.logger(a.stderr)
			return err
		},
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.logging.register(root)
	root.AddCommand(
		a.runCommand(),
		a.startCommand(),
		a.listCommand(),
		a.consoleCommand(),
		a.screenshotCommand(),
		a.sendKeyCommand(),
		a.changeMediaCommand(),
		a.validateCommand(),
		a.dumpxmlCommand(),
		a.checkCommand(),
		a.versionCommand(),
		a.domstateCommand(),
		a.dominfoCommand(),
		a.domstatsCommand(),
		a.vcpuinfoCommand(),
		a.dumpCommand(),
		a.setmemCommand(),
		a.setlinkCommand(),
		a.eventCommand(),
		a.imgCommand(),
	)
	root.AddCommand(a.actCommands()...)
	root.SetFlagErrorFunc(usageError)
	return root
}

// unknownCommand is cobra's error of that kind on one line, with the commands of
// similar names.
func unknownCommand(root *cobra.Command, err error) error {
	var name string
	if _, scanErr := fmt.Sscanf(err.Error(), "unknown command %q", &name); scanErr != nil {
		return err
	}
	hint := ""
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError(root, fmt.Errorf("unknown command %q%s", name, hint))
}

// usageError adds to what is wrong with a command line where the right one is
// described.
func usageError(c *cobra.Command, err error) error {
	return fmt.Errorf("%w (see %s --help)", err, c.CommandPath())
}

// argsFILE wants one FILE, or with more any number of them.
func argsFILE(more bool) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usageError(c, errors.New("FILE is missing"))
		case len(args) > 1 && !more:
			return usageError(c, fmt.Errorf("one FILE at a time, not %d", len(args)))
		}
		return nil
	}
}

// argsNone wants no arguments.
func argsNone(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(c, fmt.Errorf("%q is too much: there are no arguments", args[0]))
	}
	return nil
}
