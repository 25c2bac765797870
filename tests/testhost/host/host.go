// Package host runs commands on a throw-away Linux machine that has a real
// KVM, whatever this machine's own /dev/kvm is like, or if it has none.
//
// The machine is a QEMU guest, emulated by TCG unless told otherwise, whose
// processor has SVM, with nested paging if asked for, and whose kernel is Debian's. Its root
// is this machine's root over 9p, read-only, below a tmpfs overlay: all that
// is installed or built here can run there, and nothing it writes survives,
// except below /out, a writable share. The command is root and finds:
//
//   - /dev/kvm, tun, macvtap, vhost-net, vhost-vsock, loop, nbd, fuse, vfio
//   - cgroup v2 with every controller at /sys/fs/cgroup, hugetlbfs at
//     /dev/hugepages, debugfs, tmpfs at /run and /dev/shm
//   - the running kernel's modules at /lib/modules
//   - in its environment TESTHOST=1, and the Debian kernels to boot as
//     guests: TESTHOST_CLOUD_KERNEL and TESTHOST_CLOUD_MODULES,
//     TESTHOST_KERNEL and TESTHOST_MODULES
//
// The kernels come from Debian's archive by apt and are kept, with what is
// made of them, in the user's cache directory.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Exit statuses of Run that are not the command's own.
const (
	ExitTimeout = 124 // the time was up
	ExitDied    = 125 // the machine did not come up, or died
)

// ErrTimeout is in Run's error when Options.Timeout has passed.
var ErrTimeout = errors.New("still running when its time was up")

const qemu = "qemu-system-x86_64"

// Options of a machine. The zero value is a good one.
type Options struct {
	SMP       int           // processors; default 2
	MemoryMiB int           // memory; default 4096
	Timeout   time.Duration // the machine is killed after this; 0 is never

	Out string   // directory shown, writable, as /out; default a temporary one
	Dir string   // working directory; default the caller's
	Env []string // NAME=VALUE, beside PATH, HOME, LANG, TERM, GO*, GOVMM* and TESTHOST* of the caller's

	// Icount, if not empty, is QEMU's icount shift ("1": an instruction
	// takes 2 ns): time counts executed instructions, and repeats.
	Icount string

	// NestedPaging gives the processor nested page tables. TCG's emulation of
	// them breaks one guest in ten, and now and then this machine itself.
	NestedPaging bool

	Accel  string   // QEMU's accelerator; default tcg
	Append string   // more kernel command line
	QEMU   []string // more QEMU arguments

	Stdout, Stderr io.Writer // what the command writes; default nowhere
	Console        io.Writer // the machine's kernel console; default nowhere

	// Terminal, if set, is the command's controlling terminal. All output
	// then comes on Stdout, and input is no longer /dev/null.
	Terminal *Terminal
}

// Terminal is the caller's end of the command's terminal.
type Terminal struct {
	// Input is read until its end, which types the end-of-file character.
	// A Read that is waiting when the command ends is abandoned.
	Input  io.Reader
	Size   Size
	Resize <-chan Size // may be nil
}

// Size of a terminal in characters.
type Size struct{ Rows, Cols uint16 }

// DiedError says why the command did not run to its end, and what the machine
// had to say about it.
type DiedError struct {
	Reason  error
	Console string // the end of the machine's console
	QEMU    string // what QEMU said

	// Processors tells where the processors were when the context's cause, other
	// than context.Canceled, ended the machine.
	Processors string
}

func (e *DiedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "testhost: %v", e.Reason)
	if e.Console != "" {
		fmt.Fprintf(&b, "\n--- end of its console:\n%s", e.Console)
	}
	if e.QEMU != "" {
		fmt.Fprintf(&b, "\n--- %s said:\n%s", qemu, e.QEMU)
	}
	if e.Processors != "" {
		fmt.Fprintf(&b, "\n--- its processors:\n%s", e.Processors)
	}
	return b.String()
}

func (e *DiedError) Unwrap() error { return e.Reason }

// Inside tells whether this process runs on a test host.
func Inside() bool { return os.Getenv("TESTHOST") == "1" }

// Available tells why a machine cannot be run here: QEMU or the tools that
// fetch kernels are missing. It does not fetch anything.
func Available() error {
	if Inside() {
		return errors.New("testhost: this is a test host already")
	}
	if _, err := exec.LookPath(qemu); err != nil {
		return fmt.Errorf("testhost: %s not found; install the package qemu-system-x86", qemu)
	}
	c, err := openCache()
	if err != nil {
		return err
	}
	if _, err := c.lookup(); err == nil {
		return nil
	}
	for tool, pkg := range map[string]string{"apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg", "go": "golang"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("testhost: %s, which is needed to make the machine, not found; install the package %s", tool, pkg)
		}
	}
	return nil
}

// Prepare fetches and builds all a run needs, if it is not there yet. Run does
// it by itself; what it costs (the download of two kernels, about 100 MB) is
// better not paid inside of some test's time.
func Prepare(ctx context.Context) error {
	c, err := openCache()
	if err != nil {
		return err
	}
	_, err = c.prepare(ctx)
	return err
}

// CloudKernel returns Debian's kernel for virtual machines, the one to boot in
// guests: its bzImage and its module directory. The paths are the same on the
// test host.
func CloudKernel(ctx context.Context) (Kernel, error) {
	return kernel(ctx, flavourCloud, envCloudKernel, envCloudModules)
}

// GenericKernel returns Debian's kernel for all machines, which has drivers
// for what a cloud does not have, such as e1000, floppy and USB.
func GenericKernel(ctx context.Context) (Kernel, error) {
	return kernel(ctx, flavourGeneric, envKernel, envModules)
}

func kernel(ctx context.Context, flavour, image, modules string) (Kernel, error) {
	if Inside() {
		k := Kernel{Image: os.Getenv(image), Modules: os.Getenv(modules)}
		if k.Image == "" || k.Modules == "" {
			return Kernel{}, fmt.Errorf("testhost: %s or %s is not set", image, modules)
		}
		k.Release = releaseOf(k.Modules)
		return k, nil
	}
	c, err := openCache()
	if err != nil {
		return Kernel{}, err
	}
	if _, err := c.prepare(ctx); err != nil {
		return Kernel{}, err
	}
	return c.kernel(flavour)
}
