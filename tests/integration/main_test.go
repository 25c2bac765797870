package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/testhost/host"
	"github.com/govmm/govmm/vmm"
)

func TestMain(m *testing.M) {
	flag.Parse()
	exit, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		exit = max(exit, 1)
	}
	os.Exit(exit)
}

// runAll runs the tests here, or on a test host, and returns the exit code.
func runAll(m *testing.M) (int, error) {
	if os.Getenv(assetsVariable) != "" || flag.Lookup("test.list").Value.String() != "" {
		return m.Run(), nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	unfit := runsStockKernels(ctx)
	if unfit != nil {
		if err := host.Available(); err != nil {
			return 1, fmt.Errorf("%w, and there can be no test host: %w", unfit, err)
		}
	}
	dir, err := os.MkdirTemp("", "govmm-integration-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := buildAssets(ctx, dir); err != nil {
		return 1, err
	}
	if err := os.Setenv(assetsVariable, dir); err != nil {
		return 1, err
	}
	if unfit == nil {
		return m.Run(), nil
	}
	fmt.Fprintf(os.Stderr, "integration: %v; running on a test host\n", unfit)
	return runInside(ctx)
}

// runsStockKernels tells why this host's KVM cannot run a stock kernel.
func runsStockKernels(ctx context.Context) error {
	report, err := vmm.Check(ctx, "")
	switch {
	case err != nil:
		return fmt.Errorf("this host has no KVM to test with (%w)", err)
	case !report.Usable():
		return errors.New("this host's KVM lacks what govmm needs")
	case report.Interpreted:
		return errors.New("this host's KVM interprets guest kernel code")
	}
	return nil
}

// maxDeaths is how many test hosts may die under a run.
const maxDeaths = 5

// silence is how long a test host may say nothing of its tests, each of which has
// shorter limits of its own: then it stands still itself, and is ended.
const silence = 5 * time.Minute

var errSilent = fmt.Errorf("the test host has said nothing for %v", silence)

// runInside runs this program, with the arguments it got, on a test host. When the
// host dies or stands still, the test that it was at has failed, and another host
// goes on with those that are left; that needs the verbose output, which tells of
// each test.
func runInside(ctx context.Context) (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 1, err
	}
	seen := &progress{out: os.Stdout}
	o := host.Options{Stdout: seen, Stderr: os.Stderr}
	// The run inside knows its time limit and says where it hangs; only if
	// that fails too is the machine killed.
	if limit, ok := flag.Lookup("test.timeout").Value.(flag.Getter).Get().(time.Duration); ok && limit > 0 {
		o.Timeout = limit + 30*time.Second
	}
	args := append([]string{program}, os.Args[1:]...)
	skip := flag.Lookup("test.skip").Value.String()
	worst := 0
	for deaths := 1; ; deaths++ {
		exit, err := runTalking(ctx, seen, o, args)
		worst = max(worst, exit)
		var died *host.DiedError
		gone := errors.As(err, &died) && !errors.Is(err, host.ErrTimeout)
		if !gone || !testing.Verbose() || deaths > maxDeaths {
			return worst, err
		}
		seen.fail()
		fmt.Fprintf(os.Stderr, "integration: %v\nintegration: another test host goes on\n", err)
		args = append(args[:1+len(os.Args[1:])], "-test.skip="+seen.skip(skip))
	}
}

// runTalking is host.Run for a host that has to say something now and then, if the
// output is verbose.
func runTalking(ctx context.Context, seen *progress, o host.Options, args []string) (int, error) {
	if !testing.Verbose() {
		return host.Run(ctx, o, args...)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	seen.heard = func() { watch.Reset(silence) }
	return host.Run(ctx, o, args...)
}
