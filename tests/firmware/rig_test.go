package firmware

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/tests/bootmedia"
	"github.com/govmm/govmm/vmm"
)

// patience bounds what is waited for. SeaBIOS takes about four seconds where KVM
// interprets it.
const patience = time.Minute

// passed is what the boot sector leaves by the debug exit port.
const passed = 0x10

// medium builds a medium and returns its path: a copy, where the guest may write.
func medium(t *testing.T, name string) string {
	t.Helper()
	path, err := bootmedia.Build(t.Context(), "", name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		return path
	}
	from, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	return to.Name()
}

// machine is a machine with its serial console and its log.
type machine struct {
	*vmm.Machine
	t       *testing.T
	console *output
	log     *output
}

// output keeps what is written to it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// build makes the machine of a domain file.
func build(t *testing.T, xml string) (*machine, error) {
	t.Helper()
	d, _, err := domcfg.Parse("vm.xml", strings.NewReader(xml))
	if err != nil {
		return nil, err
	}
	m := &machine{t: t, console: new(output), log: new(output)}
	m.Machine, err = vmm.New(t.Context(), d, vmm.Options{
		Stdout: m.console, DebugExit: true, Log: slog.New(slog.NewTextHandler(m.log, nil)),
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			screen, err := m.ScreenText()
			t.Logf("console:\n%s\nscreen (%v):\n%s\nlog:\n%s", m.console, err, screen, m.log)
		}
	})
	return m, nil
}

// start makes the machine and runs it.
func start(t *testing.T, xml string) *machine {
	t.Helper()
	m, err := build(t, xml)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	return m
}

// ends waits for the end by the boot sector.
func (m *machine) ends() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	exit, err := m.Wait(ctx)
	if err != nil {
		m.t.Fatalf("the machine does not end: %v", err)
	}
	if exit.Cause != vmm.CauseDebugExit || exit.Code != passed {
		m.t.Errorf("ended by %v", exit)
	}
}

// shows waits for a regular expression in what a function returns.
func (m *machine) shows(what string, text func() string, pattern string) {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !re.MatchString(text()) {
		select {
		case <-tick.C:
		case <-deadline.C:
			m.t.Fatalf("no %q on the %s", pattern, what)
		}
	}
}

func (m *machine) prints(pattern string) {
	m.t.Helper()
	m.shows("serial console", m.console.String, pattern)
}

func (m *machine) displays(pattern string) {
	m.t.Helper()
	m.shows("screen", func() string { text, _ := m.ScreenText(); return text }, pattern) // graphics has no text
}

// press presses a key.
func (m *machine) press(key string) {
	m.t.Helper()
	if err := m.SendKeys(key); err != nil {
		m.t.Fatal(err)
	}
}

// markers waits until the lines of a medium have come, in order.
func (m *machine) markers(list []string) {
	m.t.Helper()
	m.prints("(?s)" + strings.Join(list, ".*"))
}

// disk is an element disk.
func disk(device, bus, target, path string, order int) string {
	boot, source := "", ""
	if order > 0 {
		boot = fmt.Sprintf("<boot order='%d'/>", order)
	}
	if path != "" {
		source = fmt.Sprintf("<source file='%s'/>", path)
	}
	return fmt.Sprintf("<disk type='file' device='%s'><driver name='qemu' type='raw'/>%s<target dev='%s' bus='%s'/>%s</disk>\n",
		device, source, target, bus, boot)
}

// domain is a domain file without a medium.
func domain(osElements, devices string) string {
	return fmt.Sprintf(`<domain type='kvm'>
  <name>firmware</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type><bios useserial='no' rebootTimeout='-1'/>%s</os>
  <features><acpi/><apic/></features>
  <on_reboot>destroy</on_reboot>
  <devices><serial type='stdio'/><memballoon model='none'/>%s</devices>
</domain>`, osElements, devices)
}

const video = "<video><model type='vga'/></video>\n"
