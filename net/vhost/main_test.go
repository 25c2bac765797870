package vhost

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/govmm/govmm/net/internal/nettest"
	"github.com/govmm/govmm/tests/testhost/host"
)

// onTestHost tells the test program that it runs there.
const onTestHost = "GOVMM_VHOST_TESTHOST"

// TestMain runs the tests in a network namespace of their own.
func TestMain(m *testing.M) {
	flag.Parse()
	exit, err := 0, error(nil)
	if nettest.Inside() {
		if err = nettest.Quiet(); err == nil {
			exit = m.Run()
		}
	} else {
		exit, err = nettest.Reexec()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vhost:", err)
		exit = max(exit, 1)
	}
	os.Exit(exit)
}

// needKernel skips a test where there is no vhost-net. TestOnTestHost runs it.
func needKernel(t testing.TB) {
	t.Helper()
	if err := missing(); err != nil {
		if os.Getenv(onTestHost) != "" {
			t.Fatalf("on the test host: %v", err)
		}
		t.Skipf("%v; TestOnTestHost runs this", err)
	}
}

func missing() error {
	_, err := os.Stat(device)
	return err
}

// TestOnTestHost runs the tests of this package that need the kernel's
// vhost-net where there is one.
func TestOnTestHost(t *testing.T) {
	if missing() == nil {
		t.Skipf("%s exists, so the tests it is for run here", device)
	}
	if testing.Short() {
		t.Skip("boots a machine, which takes 10 s: not with -short")
	}
	if err := host.Available(); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := host.Options{
		Stdout: os.Stdout, Stderr: os.Stderr, Timeout: 5 * time.Minute,
		// It is to make a namespace of its own there.
		Env: []string{onTestHost + "=1", "GOVMM_NETTEST="},
	}
	exit, err := host.Run(context.Background(), o, program, "-test.run=^TestKernel", "-test.v")
	if exit != 0 || err != nil {
		t.Errorf("exit status %d, %v", exit, err)
	}
}

// TestOpenMissing has what is said where there is none.
func TestOpenMissing(t *testing.T) {
	err := missing()
	if err == nil {
		t.Skipf("%s exists", device)
	}
	n, err := Open(1)
	if err == nil {
		n.Close()
		t.Fatal("it was opened")
	}
	if want := "vhost: /dev/vhost-net: no such file or directory; load the kernel module (modprobe vhost_net)"; !errors.Is(err, fs.ErrNotExist) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
