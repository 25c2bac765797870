package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/govmm/govmm/vmm"
	"golang.org/x/sys/unix"
)

// fullDisk is a disk whose host has no room for it.
type fullDisk struct {
	disk
	policy string // error_policy; "" is none
	dir    string // the small file system it is on
}

// TestFullHost has a guest write more to sparse disks than their host has room
// for, with every error policy.
func TestFullHost(t *testing.T) {
	const room = 2 * mib
	policies := []string{"stop", "", "report", "ignore"}
	var disks []fullDisk
	devices := "<serial type='stdio'/>"
	for i, policy := range policies {
		dir := mountAt(t, "tmpfs", "tmpfs", 0, fmt.Sprintf("size=%d", room))
		d := fullDisk{policy: policy, dir: dir, disk: disk{
			dev: "vd" + string(rune('a'+i)), file: sparse(t, dir, "image", 64*mib),
		}}
		if policy != "" {
			d.driver = "error_policy='" + policy + "'"
		}
		disks = append(disks, d)
		devices += d.xml()
	}
	// The guest's kernel complains of failed writes; not on the console, please,
	// in the middle of our lines.
	m := newMachine(t, domain{initrd: cloudVirtio, cmdline: obeying + " loglevel=1", devices: devices})
	events, cancel := m.Subscribe(1000)
	defer cancel()
	must(t, m.Start())
	m.ready()
	for _, d := range disks {
		m.fill(d, events)
	}
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
}

// fill writes to a disk what its host has no room for.
func (m *machine) fill(d fullDisk, events <-chan vmm.Event) {
	const length, seed = 8 * mib, 5
	t := m.t
	t.Helper()
	m.tell("write /dev/%s 0 %d %d", d.dev, length, seed)
	e := await(t, events, vmm.EventIOError)
	for e.Device != d.dev { // one more of the disk before
		e = await(t, events, vmm.EventIOError)
	}
	if !errors.Is(e.Err, unix.ENOSPC) {
		t.Errorf("policy %q: the event is of %v, want %v", d.policy, e.Err, unix.ENOSPC)
	}
	if d.policy == "stop" || d.policy == "" {
		e := await(t, events, vmm.EventPaused)
		if !errors.Is(e.Err, unix.ENOSPC) {
			t.Errorf("policy %q: the machine was paused for %v, want %v", d.policy, e.Err, unix.ENOSPC)
		}
		if got := m.State(); got != vmm.StatePaused {
			t.Errorf("policy %q: the machine is %v", d.policy, got)
		}
		must(t, unix.Mount("", d.dir, "", unix.MS_REMOUNT, fmt.Sprintf("size=%d", 64*mib)))
		must(t, m.Resume(t.Context()))
		await(t, events, vmm.EventResumed)
	}
	_, result, ok := m.answer()
	switch d.policy {
	case "report":
		if ok || !strings.Contains(result, "input/output error") {
			t.Errorf("policy report: the guest says %q (done: %v)", result, ok)
		}
	case "ignore":
		if !ok {
			t.Errorf("policy ignore: the guest says %q", result)
		}
	default:
		if !ok {
			t.Fatalf("policy %q: with room again the guest says %q", d.policy, result)
		}
		m.ask("read /dev/%s 0 %d %d", d.dev, length, seed)
		checkRange(t, d.file, 0, length, seed)
	}
	if got := m.State(); got != vmm.StateRunning {
		t.Errorf("policy %q: at the end the machine is %v", d.policy, got)
	}
}

// await waits for an event of a kind.
func await(t *testing.T, events <-chan vmm.Event, kind vmm.EventKind) vmm.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the events ended without %v", kind)
			}
			if e.Kind == kind {
				return e
			}
		case <-ctx.Done():
			t.Fatalf("no event %v", kind)
		}
	}
}
