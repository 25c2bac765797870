package net

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/govmm/govmm/net/internal/nettest"
	"github.com/govmm/govmm/tests/testhost/host"
)

// TestMain runs the tests in a network namespace of their own; where there is
// no tun device, in that of a test host.
func TestMain(m *testing.M) {
	flag.Parse()
	exit, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "net:", err)
		exit = max(exit, 1)
	}
	os.Exit(exit)
}

func runAll(m *testing.M) (int, error) {
	if nettest.Inside() {
		if err := nettest.Quiet(); err != nil {
			return 1, err
		}
		return m.Run(), nil
	}
	tun, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err == nil {
		tun.Close()
		return nettest.Reexec()
	}
	if unavailable := host.Available(); unavailable != nil {
		return 1, fmt.Errorf("%w, and there can be no test host: %w", err, unavailable)
	}
	fmt.Fprintf(os.Stderr, "net: %v; running on a test host\n", err)
	program, err := os.Executable()
	if err != nil {
		return 1, err
	}
	o := host.Options{Stdout: os.Stdout, Stderr: os.Stderr, Timeout: 10 * time.Minute}
	return host.Run(context.Background(), o, append([]string{program}, os.Args[1:]...)...)
}
