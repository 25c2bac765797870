package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childEnv makes this test program, run on the test host, the command under
// test.
const childEnv = "GOVMM_TESTHOST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// childExit is the status of a child that found all as it should be.
const childExit = 7

// child checks the machine from inside.
func child() int {
	failed := false
	check := func(what string, err error) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
			failed = true
		}
	}
	check("kvm", createVM())
	for _, device := range []string{"/dev/vhost-net", "/dev/net/tun", "/dev/loop0", "/dev/nbd0", "/dev/fuse", "/dev/vfio/vfio"} {
		_, err := os.Stat(device)
		check("device", err)
	}
	controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control")
	check("cgroup", err)
	for _, name := range []string{"cpu", "cpuset", "memory", "io", "pids", "hugetlb"} {
		if !strings.Contains(string(controllers), name) {
			check("cgroup", fmt.Errorf("no controller %s in %q", name, controllers))
		}
	}
	var locked unix.Rlimit
	check("rlimit", unix.Getrlimit(unix.RLIMIT_MEMLOCK, &locked))
	if locked.Cur != unix.RLIM_INFINITY {
		check("rlimit", fmt.Errorf("memory lock limit %d", locked.Cur))
	}
	for _, name := range []string{envKernel, envModules, envCloudKernel, envCloudModules} {
		_, err := os.Stat(os.Getenv(name))
		check(name, err)
	}
	if err := Available(); err == nil || !Inside() {
		check("inside", errors.New("does not know where it is"))
	}
	kernel, err := CloudKernel(context.Background())
	check("cloud kernel", err)
	if kernel.Image != os.Getenv(envCloudKernel) || !strings.HasSuffix(kernel.Image, kernel.Release) {
		check("cloud kernel", fmt.Errorf("%+v", kernel))
	}
	dir, err := os.Getwd()
	check("getwd", err)
	stdin, err := io.ReadAll(os.Stdin)
	check("stdin", err)
	check("out", os.WriteFile("/out/file", []byte("written inside"), 0o644))
	check("overlay", os.WriteFile(filepath.Join(dir, "lost"), nil, 0o644))
	// It must not keep the machine from ending.
	check("background", exec.Command("sleep", "100000").Start())

	fmt.Printf("cwd %s stdin %q env %s\n", dir, stdin, os.Getenv("EXTRA"))
	fmt.Fprintln(os.Stderr, "to standard error")
	fmt.Print(strings.Repeat("0123456789abcde\n", 64<<10)) // 1 MiB
	if failed {
		return 1
	}
	return childExit
}

// createVM makes a virtual machine and a processor in it.
func createVM() error {
	const (
		kvmGetAPIVersion = 0xae00
		kvmCreateVM      = 0xae01
		kvmCreateVCPU    = 0xae41
	)
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	version, err := unix.IoctlRetInt(int(f.Fd()), kvmGetAPIVersion)
	if err != nil || version != 12 {
		return fmt.Errorf("API version %d, %v", version, err)
	}
	vm, err := unix.IoctlRetInt(int(f.Fd()), kvmCreateVM)
	if err != nil {
		return fmt.Errorf("create VM: %w", err)
	}
	defer unix.Close(vm)
	vcpu, err := unix.IoctlRetInt(vm, kvmCreateVCPU)
	if err != nil {
		return fmt.Errorf("create VCPU: %w", err)
	}
	return unix.Close(vcpu)
}

// ready fills the cache, so that its time is not some machine's.
func ready(t *testing.T) {
	t.Helper()
	if err := Available(); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	ready(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "made")
	var stdout, stderr, console bytes.Buffer
	exit, err := Run(t.Context(), Options{
		Dir: dir, Out: out, Env: []string{childEnv + "=1", "EXTRA=a b'c"}, Timeout: 2 * time.Minute,
		Stdout: &stdout, Stderr: &stderr, Console: &console,
	}, self)
	if err != nil || exit != childExit {
		t.Errorf("Run = %d, %v; console:\n%s", exit, err, console.String())
	}
	if got := stderr.String(); got != "to standard error\n" {
		t.Errorf("standard error %q", got)
	}
	first, rest, _ := strings.Cut(stdout.String(), "\n")
	if want := fmt.Sprintf("cwd %s stdin %q env a b'c", dir, ""); first != want {
		t.Errorf("standard output starts with %q, want %q", first, want)
	}
	if rest != strings.Repeat("0123456789abcde\n", 64<<10) {
		t.Errorf("of 1 MiB of output %d bytes came out", len(rest))
	}
	if text, err := os.ReadFile(filepath.Join(out, "file")); err != nil || string(text) != "written inside" {
		t.Errorf("/out/file holds %q, %v", text, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the machine wrote to our files: %v, %v", left, err)
	}
	if got := console.String(); strings.Contains(got, "testhost:") {
		t.Errorf("init complains:\n%s", got)
	}
}

func TestRunTogether(t *testing.T) {
	ready(t)
	var wg sync.WaitGroup
	for _, test := range []struct {
		script string
		smp    int
		exit   int
		stdout string
	}{
		{"nproc; kill -9 $$", 1, 128 + 9, "1\n"},
		{"nproc; exec /no/such/program", 2, 127, "2\n"},
	} {
		wg.Go(func() {
			var stdout bytes.Buffer
			exit, err := Run(t.Context(), Options{SMP: test.smp, MemoryMiB: 1024, Timeout: 2 * time.Minute, Stdout: &stdout}, "sh", "-c", test.script)
			if err != nil || exit != test.exit || stdout.String() != test.stdout {
				t.Errorf("%s: exit %d, %q, %v", test.script, exit, stdout.String(), err)
			}
		})
	}
	wg.Wait()
}

func TestRunNotFound(t *testing.T) {
	ready(t)
	var stderr bytes.Buffer
	exit, err := Run(t.Context(), Options{Timeout: 2 * time.Minute, Stderr: &stderr}, "no-such-command")
	if err != nil || exit != 127 || !strings.Contains(stderr.String(), "no-such-command") {
		t.Errorf("Run = %d, %v, %q", exit, err, stderr.String())
	}
}

func TestRunTerminal(t *testing.T) {
	ready(t)
	resize := make(chan Size, 1)
	var screen bytes.Buffer
	// The command's first question is answered with a change of size.
	stdout := writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("ready")) {
			resize <- Size{50, 132}
		}
		return screen.Write(p)
	})
	exit, err := Run(t.Context(), Options{
		Timeout: 2 * time.Minute, Stdout: stdout,
		Terminal: &Terminal{Input: strings.NewReader("typed\n"), Size: Size{30, 100}, Resize: resize},
	}, "bash", "-c", `trap 'stty size; exit 3' WINCH
		tty; stty size; read line; echo "got $line"; read line || echo end of file
		echo ready; while :; do sleep 0.1; done`)
	if err != nil || exit != 3 {
		t.Errorf("Run = %d, %v", exit, err)
	}
	text := strings.ReplaceAll(screen.String(), "\r", "")
	for _, want := range []string{"/dev/pts/", "30 100\n", "got typed\n", "end of file\n", "ready\n50 132\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the screen lacks %q:\n%s", want, text)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRunTimeout(t *testing.T) {
	ready(t)
	exit, err := Run(t.Context(), Options{Timeout: 100 * time.Millisecond}, "true")
	if exit != ExitTimeout || !errors.Is(err, ErrTimeout) {
		t.Errorf("Run = %d, %v", exit, err)
	}
	var died *DiedError
	if !errors.As(err, &died) || strings.Count(died.Processors, " | at ") != samples {
		t.Errorf("where the two processors were: %v", err)
	}
}

func TestRunCancelled(t *testing.T) {
	ready(t)
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})
	exit, err := Run(ctx, Options{Timeout: 2 * time.Minute, Stdout: running}, "sh", "-c", "echo running; exec sleep 1000")
	if exit != ExitDied || !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %d, %v", exit, err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestRunDied(t *testing.T) {
	ready(t)
	for _, test := range []struct {
		name    string
		options Options
		console string
		qemu    string
	}{
		{"kernel", Options{Append: "rdinit=/none"}, "Kernel panic", ""},
		{"qemu", Options{QEMU: []string{"-nonsense"}}, "", "-nonsense: invalid option"},
	} {
		test.options.Timeout = 2 * time.Minute
		exit, err := Run(t.Context(), test.options, "true")
		var died *DiedError
		if exit != ExitDied || !errors.As(err, &died) {
			t.Errorf("%s: Run = %d, %v", test.name, exit, err)
			continue
		}
		if !strings.Contains(died.Console, test.console) || !strings.Contains(died.QEMU, test.qemu) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestAvailable(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := Available(); err == nil || !strings.Contains(err.Error(), "qemu-system-x86") {
		t.Errorf("without QEMU: %v", err)
	}
	if _, err := Run(t.Context(), Options{}); err == nil {
		t.Error("ran no command")
	}
}
