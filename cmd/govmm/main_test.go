package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm/statedir"
)

// patient bounds every wait of these tests: none comes near it, except a test
// that fails.
const patient = 30 * time.Second

// built is what the tests run: the command as it is installed, and the guests.
var built struct {
	govmm string
	guest *guest.Images
	echo  string // a kernel that prints '>' and then whatever it receives
	count string // a kernel that prints 00h to FFh over and over
}

func TestMain(m *testing.M) {
	// Who started us may ignore SIGHUP, and would have our children ignore it.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP)
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "govmm-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // another user runs it too
		return 0, err
	}
	// Machines of these tests and of others on this host may have the same names.
	if err := os.Setenv(statedir.RootVariable, filepath.Join(dir, "run")); err != nil {
		return 0, err
	}
	built.govmm = filepath.Join(dir, "govmm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v0-test", "-o", built.govmm, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, said)
	}
	if built.guest, err = guest.Build(context.Background(), ""); err != nil {
		return 0, err
	}
	built.echo, built.count = filepath.Join(dir, "echo"), filepath.Join(dir, "count")
	if err := errors.Join(writeKernel(built.echo, echoCode()), writeKernel(built.count, countCode())); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// writeKernel writes a kernel that runs code: the guest package's shortest one
// with another body at its 64-bit entry.
func writeKernel(path string, code []byte) error {
	image, err := os.ReadFile(built.guest.First.BzImage)
	if err != nil {
		return err
	}
	const setupSects, entry64 = 0x1F1, 0x200 // Linux/x86 boot protocol
	at := (int(image[setupSects])+1)*512 + entry64
	if at+len(code) > len(image) {
		return fmt.Errorf("%s has no room for %d bytes", built.guest.First.BzImage, len(code))
	}
	copy(image[at:], code)
	return os.WriteFile(path, image, 0o644)
}

func echoCode() []byte {
	return []byte{
		0x66, 0xBA, 0xF8, 0x03, // mov dx, 0x3f8
		0xB0, '>', //              mov al, '>'
		0xEE,                   // out dx, al
		0x66, 0xBA, 0xFD, 0x03, // next: mov dx, 0x3fd
		0xEC,       //             in al, dx
		0xA8, 0x01, //             test al, 1: data ready
		0x74, 0xF7, //             jz next
		0x66, 0xBA, 0xF8, 0x03, // mov dx, 0x3f8
		0xEC,       //             in al, dx
		0xEE,       //             out dx, al
		0xEB, 0xEF, //             jmp next
	}
}

func countCode() []byte {
	return []byte{
		0x31, 0xDB, //             xor ebx, ebx
		0x66, 0xBA, 0xFD, 0x03, // next: mov dx, 0x3fd
		0xEC,       //             in al, dx
		0xA8, 0x20, //             test al, 0x20: transmitter empty
		0x74, 0xF7, //             jz next
		0x66, 0xBA, 0xF8, 0x03, // mov dx, 0x3f8
		0x88, 0xD8, //             mov al, bl
		0xEE,       //             out dx, al
		0xFF, 0xC3, //             inc ebx
		0xEB, 0xEC, //             jmp next
	}
}

// machine is a domain file in the making. The zero value boots the test kernel
// with its console on standard input and output.
type machine struct {
	kernel  string // default: the test kernel
	initrd  string
	cmdline string
	memory  string // default: 128 MiB, in KiB or with a unit= before it
	devices string // default: a serial port of type stdio
	extra   string // elements of the domain
}

const (
	stdioSerial = `<serial type='stdio'/>`
	ptySerial   = `<serial type='pty'/>`
	nullSerial  = `<serial type='null'/>`
	destroyed   = `<on_reboot>destroy</on_reboot>`
)

func fileSerial(path string) string {
	return `<serial type='file'><source path='` + path + `'/></serial>`
}

// write writes the file and returns its path.
func (m machine) write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vm.xml")
	if err := os.WriteFile(path, []byte(m.xml()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (m machine) xml() string {
	or := func(s, def string) string {
		if s == "" {
			return def
		}
		return s
	}
	element := func(name, s string) string {
		if s == "" {
			return ""
		}
		return "<" + name + ">" + s + "</" + name + ">"
	}
	memory := m.memory
	if !strings.HasPrefix(memory, "<") {
		memory = element("memory", or(memory, "131072"))
	}
	return "<domain type='kvm'>\n<name>test</name>\n" + memory +
		"\n<os><type>hvm</type>" + element("kernel", or(m.kernel, built.guest.Kernel.BzImage)) +
		element("initrd", m.initrd) + element("cmdline", m.cmdline) + "</os>\n" +
		"<features><acpi/></features>\n" + m.extra +
		"\n<devices>\n" + or(m.devices, stdioSerial) + "\n<memballoon model='none'/>\n</devices>\n</domain>\n"
}

// process is a govmm that runs.
type process struct {
	*exec.Cmd
	t              testing.TB
	stdout, stderr output
	ended          chan struct{}
}

// prepare makes a process that is not started yet, in a process group of its
// own, with no input.
func prepare(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(built.govmm, args...), t: t, ended: make(chan struct{})}
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	// A grandchild that holds our pipes shall be found, not waited for.
	p.WaitDelay = patient
	return p
}

// start starts a process that is killed, and fails the test, if it has not
// ended when the test has.
func (p *process) start() *process {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.Wait() // the state tells
	}()
	p.t.Cleanup(func() {
		select {
		case <-p.ended:
		default:
			_ = p.Process.Kill()
			<-p.ended
			p.t.Errorf("%v was still running", p.Args)
		}
		if err := unix.Kill(-p.Process.Pid, 0); err != unix.ESRCH {
			p.t.Errorf("%v left a process behind (%v)", p.Args, err)
		}
	})
	return p
}

// wait waits for the end and returns the exit code, -1 after a fatal signal.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.ProcessState.ExitCode()
	case <-time.After(patient):
		p.t.Fatalf("%v has not ended\nstdout: %s\nstderr: %s", p.Args, &p.stdout, &p.stderr)
		return 0
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// await waits until standard output has text in it.
func (p *process) await(text string) {
	p.t.Helper()
	eventually(p.t, func() bool { return strings.Contains(p.stdout.String(), text) }, func() string {
		return fmt.Sprintf("%v has not printed %q\nstdout: %s\nstderr: %s", p.Args, text, &p.stdout, &p.stderr)
	})
}

// govmm runs a command to its end.
func govmm(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := prepare(t, args...).start()
	code = p.wait()
	return code, p.stdout.String(), p.stderr.String()
}

// eventually waits until ok, and fails the test with what explain says if that
// takes too long.
func eventually(t testing.TB, ok func() bool, explain func() string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patient)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(explain())
		}
	}
}

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// oneLine fails the test unless text is a single line with all the words in it.
func oneLine(t testing.TB, text string, words ...string) {
	t.Helper()
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		t.Errorf("not one line: %q", text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in %q", w, text)
		}
	}
}
