package bootmedia

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// bootTime is many times what an emulated machine takes to boot anything here.
const bootTime = 3 * time.Minute

// boot runs QEMU until COM1 has shown the markers in their order, and returns
// what it has shown.
func boot(t *testing.T, args []string, markers ...string) string {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v; install the package qemu-system-x86", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootTime)
	defer cancel()
	found, stop := context.WithCancel(ctx)
	defer stop()
	w := &watcher{done: stop}
	for _, m := range markers {
		w.markers = append(w.markers, regexp.MustCompile(m))
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(found, qemu, args...)
	cmd.Stdout, cmd.Stderr = w, &said
	cmd.WaitDelay = time.Second
	start := time.Now()
	err = cmd.Run() // killed when all is found
	text, missing := w.result()
	if missing != "" {
		t.Fatalf("no %q within %v (%v)\nqemu-system-x86_64 %s\n%s%s", missing, time.Since(start), err, strings.Join(args, " "), text, said.String())
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	t.Logf("%.1f s; %s", time.Since(start).Seconds(), strings.TrimSpace(lines[len(lines)-1]))
	return text
}

// watcher looks for regular expressions in what is written, one after the
// other.
type watcher struct {
	mu      sync.Mutex
	text    []byte
	from    int
	markers []*regexp.Regexp
	done    func()
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	for len(w.markers) > 0 {
		at := w.markers[0].FindIndex(w.text[w.from:])
		if at == nil {
			return len(p), nil
		}
		w.from += at[1]
		w.markers = w.markers[1:]
	}
	w.done()
	return len(p), nil
}

// result is all the text, and the marker that is missing.
func (w *watcher) result() (text, missing string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.markers) > 0 {
		missing = w.markers[0].String()
	}
	return string(w.text), missing
}

func built(t *testing.T, name string) (Medium, string) {
	t.Helper()
	m, err := Find(name)
	if err != nil {
		t.Fatal(err)
	}
	path, err := Build(t.Context(), "", name)
	if err != nil {
		t.Fatal(err)
	}
	return m, path
}

// Every medium that can be booted boots under QEMU, and prints its markers.
func TestBoot(t *testing.T) {
	for _, m := range Media() {
		if m.Invalid || m.Attach == Network {
			continue
		}
		buses := []string{"ide"}
		if m.Attach == Disk && m.Name != "memtest-disk" {
			buses = append(buses, "virtio")
		}
		for _, bus := range buses {
			t.Run(fmt.Sprintf("%s-%s", m.Name, bus), func(t *testing.T) {
				if testing.Short() && m.Name == "debian-disk" {
					t.Skip("takes a minute to make, and half a minute to boot")
				}
				_, path := built(t, m.Name)
				text := boot(t, m.QEMU(path, bus, false), m.Markers...)
				if strings.Contains(text, "error: ") {
					t.Errorf("it complains:\n%s", text)
				}
			})
		}
	}
}

// What the boot sector shows on the screen is there, and so is what the firmware
// says. SeaBIOS sends a line's last character later.
func TestBootScreen(t *testing.T) {
	m, path := built(t, "sector-disk")
	boot(t, m.QEMU(path, "ide", true), `SeaBIOS`, `Booting from Hard Disk`, `boot-sector disk drive 80`, `boot-sector disk on the scree`)
}

// Nothing runs from media that are not what they should be: the firmware says
// that it found nothing, or QEMU that it cannot have that.
func TestBootInvalid(t *testing.T) {
	for name, wanted := range map[string]string{
		"empty-disk":     `Boot failed: not a bootable disk|could not read the boot disk`,
		"odd-floppy":     `Boot failed: not a bootable disk|could not read the boot disk`,
		"garbage-cd":     `Boot failed: Could not read from CDROM \(code 00[0-9a-f]{2}\)`,
		"truncated-cd":   `Boot failed: Could not read from CDROM \(code 00[0-9a-f]{2}\)`,
		"bad-catalog-cd": `Boot failed: Could not read from CDROM \(code 00[0-9a-f]{2}\)`,
	} {
		t.Run(name, func(t *testing.T) {
			m, path := built(t, name)
			text := boot(t, m.QEMU(path, "ide", true), wanted, "No bootable device")
			if strings.Contains(text, "boot-sector") {
				t.Errorf("something ran:\n%s", text)
			}
		})
	}
}
