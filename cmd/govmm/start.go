package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/vmm"
	"github.com/govmm/govmm/vmm/statedir"
)

// startRetry is the time from one look at a machine that is starting to the next.
const startRetry = 20 * time.Millisecond

func (a *app) startCommand() *cobra.Command {
	var log, device, dumpDir string
	var shutdown time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "start FILE",
		Short: "Run a machine in the background",
		Long: `start runs the machine that FILE describes as "run --console=none" does, in a
process of its own that has no terminal, and returns when the guest runs. list
shows it; its process is in govmm.pid in its state directory, which is locked
as long as it runs.

SIGTERM makes that process end the machine in an orderly way, as of run.

What govmm logs, and what a device of type stdio prints, is added to a file.

The exit code is that of run if the machine cannot be started.`,
		Example: `  govmm start vm.xml
  govmm destroy vm`,
		Args:              argsFILE(false),
		ValidArgsFunction: xmlFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] == "-" {
				return usageError(c, errors.New("start needs a file, not the standard input"))
			}
			j := a.judge(args[0])
			if err := a.report(j); err != nil {
				return err
			}
			name := j.domain.Name
			if log == "" {
				dir, err := logDirectory()
				if err != nil {
					return err
				}
				log = filepath.Join(dir, filepath.Base(name)+".log")
			}
			run := []string{"run", "--console=none", "--log-level", a.logging.level, "--log-format", a.logging.format, "--device", device,
				"--shutdown-timeout", shutdown.String()}
			if dumpDir != "" {
				run = append(run, "--dump-dir", dumpDir)
			}
			show := func(pid int) error {
				_, err := fmt.Fprintf(a.stdout, "machine %q runs as process %d; its log is %s\n", name, pid, log)
				return err
			}
			if asJSON {
				show = func(pid int) error {
					return printJSON(a.stdout, map[string]any{"name": name, "pid": pid, "log": log})
				}
			}
			return a.start(c.Context(), name, log, append(run, "--", args[0]), show)
		},
	}
	cmd.Flags().StringVar(&log, "log-file", "", "where output is added (default: NAME.log in /var/log/govmm for root, else in ~/.local/state/govmm/log)")
	cmd.Flags().StringVar(&device, "device", "/dev/kvm", "KVM device to use")
	cmd.Flags().StringVar(&dumpDir, "dump-dir", "", "as of run")
	cmd.Flags().DurationVar(&shutdown, "shutdown-timeout", shutdownTimeout, "as of run")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// logDirectory is where the output of machines in the background goes.
func logDirectory() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/log/govmm", nil
	}
	dumps, err := vmm.DumpDirectory() // beside these
	return filepath.Join(filepath.Dir(dumps), "log"), err
}

// start runs this program in the background and waits until its machine runs, which show
// is told then, or failed.
func (a *app) start(ctx context.Context, name, log string, args []string, show func(pid int) error) error {
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		return err
	}
	output, err := os.OpenFile(log, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	before, err := output.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(startRetry)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			// It has said why, unless it has come to its end already.
			if _, err := output.Seek(before, io.SeekStart); err == nil {
				_, _ = io.Copy(a.stderr, output)
			}
			if code := cmd.ProcessState.ExitCode(); code != exitOK {
				return &exitCode{code: max(code, exitError)}
			}
			return nil
		case <-tick.C:
			if a.started(ctx, name, cmd.Process.Pid) {
				return show(cmd.Process.Pid)
			}
		}
	}
}

// started reports whether a machine's process answers, and its guest runs.
func (a *app) started(ctx context.Context, name string, pid int) bool {
	e, err := statedir.Find(statedir.Root(), name)
	if err != nil || e.PID != pid {
		return false
	}
	state := stateOf(ctx, e)
	return state != noAnswer && state != vmm.StateShutOff.String()
}
