// Command testhost runs a command as root on a throw-away Linux machine that
// has a real KVM, whatever this machine's own is like (package host).
//
//	testhost [options] [--] COMMAND [ARGUMENT...]
//
// Its output comes out here, standard output and error apart; its exit status
// is testhost's. 124 says that the time was up, 125 that the machine did not
// come up or died. Note that "go run" turns every failure into status 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/govmm/govmm/tests/testhost/host"
)

func main() { os.Exit(run(os.Args[1:])) }

const usage = `usage: testhost [options] [--] COMMAND [ARGUMENT...]
       testhost -prepare

Runs COMMAND as root on a throw-away machine with a real KVM. It sees this
machine's files, read-only; what it writes is lost, except below /out.

`

// settings are the command line.
type settings struct {
	host.Options
	tty, prepare bool
	argv         []string
}

// parse reads the command line, and takes the values of -e from the
// environment.
func parse(args []string) (*settings, error) {
	s := &settings{Options: host.Options{Stdout: os.Stdout, Stderr: os.Stderr}}
	seconds := -1
	fs := flag.NewFlagSet("testhost", flag.ContinueOnError)
	fs.IntVar(&s.SMP, "smp", 2, "processors of the machine")
	fs.IntVar(&s.MemoryMiB, "m", 4096, "memory of the machine, in `MiB`")
	fs.IntVar(&seconds, "t", -1, "kill the machine after so many `seconds`; 0 is never (default 600, with -tty 0)")
	fs.StringVar(&s.Out, "o", "", "`directory` the machine sees as /out and may write (default a temporary one)")
	fs.Func("e", "pass the environment variable `name`; PATH, HOME, LANG, TERM, GO*, GOVMM* and TESTHOST* always are", func(name string) error {
		if value, ok := os.LookupEnv(name); ok {
			s.Env = append(s.Env, name+"="+value)
		}
		return nil
	})
	fs.BoolFunc("icount", "virtual time that repeats: it counts instructions (-icount=`shift`, default 1: 2 ns each)", func(value string) error {
		if s.Icount = value; value == "true" {
			s.Icount = "1"
		}
		return nil
	})
	fs.StringVar(&s.Accel, "accel", "tcg", "QEMU's `accelerator`")
	fs.BoolVar(&s.NestedPaging, "npt", false, "nested page tables; the emulation of these breaks one guest in ten")
	fs.StringVar(&s.Append, "append", "", "more kernel command line")
	fs.Func("qemu", "more QEMU `arguments`, split at spaces", func(value string) error {
		s.QEMU = append(s.QEMU, strings.Fields(value)...)
		return nil
	})
	fs.BoolFunc("v", "show the machine's console on standard error", func(string) error {
		s.Console = os.Stderr
		return nil
	})
	fs.BoolVar(&s.tty, "tty", false, "connect COMMAND to this terminal; Ctrl-] three times ends the machine")
	fs.BoolVar(&s.prepare, "prepare", false, "only fill the cache, and print what COMMAND finds in its environment")
	fs.Usage = func() {
		fmt.Fprint(fs.Output(), usage)
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if seconds < 0 {
		seconds = 600
		if s.tty {
			seconds = 0
		}
	}
	s.Timeout = time.Duration(seconds) * time.Second
	s.argv = fs.Args()
	if len(s.argv) == 0 && !s.prepare {
		fs.Usage()
		return nil, errors.New("no command")
	}
	return s, nil
}

func run(args []string) int {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return host.ExitDied
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() { cancel(signalError{(<-signals).(syscall.Signal)}) }()

	if s.prepare {
		err = prepare(ctx)
		return report(0, err)
	}
	restore := func() {}
	if s.tty {
		if s.Terminal, restore, err = openTerminal(cancel); err != nil {
			return report(host.ExitDied, err)
		}
	}
	exit, err := host.Run(ctx, s.Options, s.argv...)
	restore()
	return report(exit, err)
}

// signalError is why the machine was ended.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "ended by signal: " + e.Signal.String() }

// report prints an error and returns the exit status it asks for.
func report(exit int, err error) int {
	if err == nil {
		return exit
	}
	fmt.Fprintln(os.Stderr, err)
	var sig signalError
	if errors.As(err, &sig) {
		return 128 + int(sig.Signal)
	}
	if exit == 0 {
		exit = host.ExitDied
	}
	return exit
}

// prepare fills the cache and prints where things are.
func prepare(ctx context.Context) error {
	if err := host.Prepare(ctx); err != nil {
		return err
	}
	outer, err := host.GenericKernel(ctx)
	if err != nil {
		return err
	}
	cloud, err := host.CloudKernel(ctx)
	if err != nil {
		return err
	}
	for _, entry := range host.Environ(outer, cloud) {
		fmt.Println(entry)
	}
	return nil
}
