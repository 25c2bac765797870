package initramfs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/testhost/host"
)

// bootTime is far more than an emulated boot takes.
const bootTime = time.Minute

// guest is an image running in an emulator, with its console and QEMU's
// monitor connected to us.
type guest struct {
	t       *testing.T
	cmd     *exec.Cmd
	console net.Conn
	seen    *transcript
	monitor net.Conn
	events  *json.Decoder
}

// boot starts the cloud kernel with an image. The monitor is QMP, ready for
// commands.
func boot(t *testing.T, image string, cmdline string, args ...string) *guest {
	t.Helper()
	kernel, err := host.CloudKernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v; install the package qemu-system-x86", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	t.Cleanup(cancel)
	dir := t.TempDir()
	console, monitor := listen(t, dir, "console"), listen(t, dir, "monitor")
	cmd := exec.CommandContext(ctx, qemu, append([]string{
		"-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "384", "-smp", "2",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", kernel.Image, "-initrd", image, "-append", "console=ttyS0 quiet panic=-1 " + cmdline,
		"-chardev", "socket,id=console,path=" + console.Addr().String(), "-serial", "chardev:console",
		"-chardev", "socket,id=monitor,path=" + monitor.Addr().String(), "-mon", "chardev=monitor,mode=control",
	}, args...)...)
	said := &strings.Builder{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("QEMU said: %s", said)
		}
	})
	g := &guest{t: t, cmd: cmd, console: accept(t, console), monitor: accept(t, monitor)}
	g.seen, g.events = newTranscript(g.console), json.NewDecoder(g.monitor)
	g.command("qmp_capabilities")
	return g
}

func listen(t *testing.T, dir, name string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.SetDeadline(time.Now().Add(bootTime)); err != nil {
		t.Fatal(err)
	}
	return l
}

func accept(t *testing.T, l *net.UnixListener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(bootTime)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// command gives QEMU a command.
func (g *guest) command(name string) {
	g.t.Helper()
	if _, err := fmt.Fprintf(g.monitor, `{"execute":%q}`, name); err != nil {
		g.t.Fatal(err)
	}
}

// event waits for an event of QEMU's.
func (g *guest) event(name string) map[string]any {
	g.t.Helper()
	for {
		var message struct {
			Event string
			Data  map[string]any
			Error map[string]any
		}
		if err := g.events.Decode(&message); err != nil {
			g.t.Fatalf("waiting for the event %s: %v; the console since then:\n%s", name, err, g.seen.rest())
		}
		if message.Error != nil {
			g.t.Fatalf("QEMU: %v", message.Error)
		}
		if message.Event == name {
			return message.Data
		}
	}
}

// expect waits until the console shows a text, after what was expected before.
func (g *guest) expect(text string) {
	g.t.Helper()
	found := g.seen.wait(func(rest string) bool { return strings.Contains(rest, text) })
	rest := g.seen.rest()
	if !found {
		g.t.Fatalf("waiting for %q; the console ended with:\n%s", text, rest)
	}
	g.seen.skip(strings.Index(rest, text) + len(text))
}

// lines waits for the end of the console and returns what is on it.
func (g *guest) lines() []string {
	g.seen.wait(func(string) bool { return false })
	return strings.Split(strings.ReplaceAll(g.seen.rest(), "\r", ""), "\n")
}

// transcript is what a console has shown. It is read all the time: a console
// that nobody reads stops the guest.
type transcript struct {
	mu      sync.Mutex
	changed *sync.Cond
	text    []byte
	ended   bool
}

func newTranscript(r io.Reader) *transcript {
	s := &transcript{}
	s.changed = sync.NewCond(&s.mu)
	go func() {
		_, _ = io.Copy(s, r) // an error is an end like another
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.changed.Broadcast()
	}()
	return s
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.text = append(s.text, p...)
	s.mu.Unlock()
	s.changed.Broadcast()
	return len(p), nil
}

// wait waits for a condition, or for the end, when it returns false.
func (s *transcript) wait(until func(rest string) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !until(string(s.text)) {
		if s.ended {
			return false
		}
		s.changed.Wait()
	}
	return true
}

func (s *transcript) rest() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

func (s *transcript) skip(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = s.text[n:]
}

// send types at the console.
func (g *guest) send(text string) {
	g.t.Helper()
	if _, err := io.WriteString(g.console, text); err != nil {
		g.t.Fatal(err)
	}
}

type imageFunc func(ctx context.Context, modules string, names ...string) ([]initramfs.File, error)

// write makes an image for the cloud kernel.
func write(t *testing.T, files imageFunc) string {
	t.Helper()
	kernel, err := host.CloudKernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := files(t.Context(), kernel.Modules)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "image")
	if err := initramfs.WriteFile(name, list...); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestInitReports(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := initramfs.WriteFile(disk); err != nil { // an empty archive: 512 bytes
		t.Fatal(err)
	}
	g := boot(t, write(t, initramfs.TestImage), "word=value",
		"-drive", "file="+disk+",format=raw,if=virtio,readonly=on",
		"-netdev", "user,id=n,restrict=on", "-device", "virtio-net-pci,netdev=n,mac=52:54:00:0a:0b:0c")
	kernel, err := host.CloudKernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lines := g.lines()
	wanted := []string{
		"init: up",
		"init: release " + kernel.Release,
		"init: cmdline console=ttyS0 quiet panic=-1 word=value",
		"init: cpus 0-1",
		"init: memtotal ",
		"init: clocksource ",
		"init: pci 0000:00:01.1 8086:7010 010180 ata_piix",
		"init: block vda 512 ro",
		"init: net eth0 52:54:00:0a:0b:0c",
		"init: irq 4 ",
		"init: ready",
		"init: action poweroff",
	}
	for _, line := range lines {
		if len(wanted) > 0 && strings.HasPrefix(line, wanted[0]) {
			wanted = wanted[1:]
		}
		if strings.HasPrefix(line, "init: error") {
			t.Error(line)
		}
	}
	if len(wanted) > 0 {
		t.Errorf("the console lacks %q, or has it in another order:\n%s", wanted[0], strings.Join(lines, "\n"))
	}
	if reason := g.event("SHUTDOWN")["reason"]; reason != "guest-shutdown" {
		t.Errorf("ended by %v", reason)
	}
}

func TestInitActions(t *testing.T) {
	image := write(t, initramfs.TestImage)
	t.Run("triple", func(t *testing.T) {
		g := boot(t, image, "test=cpus action=triple")
		g.expect("init: up\r\ninit: cpus 0-1\r\ninit: ready\r\ninit: action triple\r\n")
		if reason := g.event("SHUTDOWN")["reason"]; reason != "guest-reset" {
			t.Errorf("ended by %v", reason)
		}
	})
	t.Run("panic", func(t *testing.T) {
		g := boot(t, image, "test= action=panic", "-device", "pvpanic")
		g.expect("init: ready\r\ninit: action panic\r\n")
		if action := g.event("GUEST_PANICKED")["action"]; action == nil {
			t.Error("the panic asks for no action")
		}
	})
	t.Run("wait-powerbutton", func(t *testing.T) {
		g := boot(t, image, "test= action=wait-powerbutton")
		g.expect("init: waiting for the power button\r\n")
		g.command("system_powerdown")
		g.expect("init: power button pressed\r\n")
		if reason := g.event("SHUTDOWN")["reason"]; reason != "guest-shutdown" {
			t.Errorf("ended by %v", reason)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		g := boot(t, image, "test= action=dance")
		g.expect(`init: error no action is named "dance"`)
		g.expect("init: action poweroff\r\n")
		g.event("SHUTDOWN")
	})
}

func TestShell(t *testing.T) {
	image := write(t, initramfs.ShellImage)
	t.Run("interactive", func(t *testing.T) {
		g := boot(t, image, "")
		g.expect(": 2 CPUs, ")
		g.expect("guest:/# ")
		g.send("tty; echo $((6*7)); cat; echo status $?\n")
		g.expect("/dev/ttyS0\r\n42\r\n")
		g.send("echoed by cat\n")
		g.expect("echoed by cat\r\nechoed by cat\r\n")
		g.send("\x03") // needs a controlling terminal and job control
		g.expect("guest:/# ")
		g.send("sleep 1000 &\njobs\n")
		g.expect("Running")
		g.send("poweroff\n")
		if reason := g.event("SHUTDOWN")["reason"]; reason != "guest-shutdown" {
			t.Errorf("ended by %v", reason)
		}
	})
	t.Run("exit", func(t *testing.T) {
		g := boot(t, image, "")
		g.expect("guest:/# ")
		g.send("exit\n")
		g.event("SHUTDOWN")
	})
	t.Run("power button", func(t *testing.T) {
		g := boot(t, image, "")
		g.expect("guest:/# ")
		g.command("system_powerdown")
		g.event("SHUTDOWN")
	})
	t.Run("batch", func(t *testing.T) {
		g := boot(t, image, "demo=batch")
		g.expect(" MiB of memory, clock ")
		if reason := g.event("SHUTDOWN")["reason"]; reason != "guest-shutdown" {
			t.Errorf("ended by %v", reason)
		}
	})
}
