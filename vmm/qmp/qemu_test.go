package qmp

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/vmm"
)

// peer is QEMU, or the server here.
type peer struct {
	*session
	events map[string]any // data, by name
}

// startQEMU starts a QEMU with the devices of the test domain, which stands still.
func startQEMU(t *testing.T, disc string) *peer {
	t.Helper()
	const program = "qemu-system-x86_64"
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%v: install the package qemu-system-x86", err)
	}
	socket := filepath.Join(t.TempDir(), "qmp")
	cmd := exec.Command(program, "-M", "pc", "-accel", "tcg", "-nodefaults", "-display", "none", "-vga", "std", "-S",
		"-smp", "2", "-m", "64", "-name", "vm one", "-uuid", testDomain(t).UUID.String(),
		"-chardev", "null,id=serial0", "-serial", "chardev:serial0", "-device", "virtio-balloon-pci",
		"-drive", "if=none,id=hdc,media=cdrom,readonly=on,format=raw,file="+disc, "-device", "ide-cd,id=hdc,drive=hdc",
		"-qmp", "unix:"+socket+",server=on,wait=off")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	var conn net.Conn
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for conn == nil {
		select {
		case <-tick.C:
			if c, err := net.Dial("unix", socket); err == nil {
				conn = c
			}
		case <-deadline:
			t.Fatal("QEMU does not listen")
		}
	}
	t.Cleanup(func() { conn.Close() })
	p := &peer{&session{t, conn, bufio.NewReader(conn)}, map[string]any{}}
	p.read() // the greeting
	return p
}

// exchange returns the answer to a request, and keeps the events before it.
func (p *peer) exchange(request string) map[string]any {
	p.t.Helper()
	p.send(request)
	for {
		if m := p.note(p.read()); m != nil {
			return m
		}
	}
}

// note keeps the first event of a name, and returns anything else. Later resets are
// those that QEMU's firmware makes of its own.
func (p *peer) note(line string) (answer map[string]any) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(line), &answer); err != nil {
		p.t.Fatal(err)
	}
	if name, ok := answer["event"].(string); ok {
		if _, seen := p.events[name]; !seen {
			p.events[name] = answer["data"]
		}
		return nil
	}
	return answer
}

// like tells where ours is not of the same form as theirs. Theirs may have more.
func like(path string, ours, theirs any) error {
	switch ours := ours.(type) {
	case map[string]any:
		theirs, ok := theirs.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is not an object in QEMU", path)
		}
		for name, value := range ours {
			other, ok := theirs[name]
			if !ok {
				return fmt.Errorf("%s.%s is not there in QEMU", path, name)
			}
			if err := like(path+"."+name, value, other); err != nil {
				return err
			}
		}
	case []any:
		theirs, ok := theirs.([]any)
		if !ok || len(theirs) == 0 {
			return fmt.Errorf("%s is not a list in QEMU", path)
		}
		for i, value := range ours {
			var err error
			if !slices.ContainsFunc(theirs, func(other any) bool {
				err = like(fmt.Sprintf("%s[%d]", path, i), value, other)
				return err == nil
			}) {
				return err
			}
		}
	default:
		if reflect.TypeOf(ours) != reflect.TypeOf(theirs) {
			return fmt.Errorf("%s is a %T, and a %T in QEMU", path, ours, theirs)
		}
	}
	return nil
}

// What this server answers is what QEMU answers, or a part of it: members, their
// types, classes of errors, data of events.
func TestLikeQEMU(t *testing.T) {
	dir := t.TempDir()
	disc, dump, core := filepath.Join(dir, "disc.iso"), filepath.Join(dir, "dump"), filepath.Join(dir, "core")
	if err := os.WriteFile(disc, make([]byte, 64<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	theirs := startQEMU(t, disc)
	r := newRig(t)
	s, _ := r.connect()
	ours := &peer{s, map[string]any{}}

	command := func(text string) string { return `{"id":{"n":[1]},"execute":` + text + "}\n" }
	for _, request := range []string{
		command(`"query-status"`), // too early
		command(`"nonsense"`),
		command(`"qmp_capabilities"`),
		command(`"qmp_capabilities"`),
		command(`"query-version"`),
		command(`"query-name"`),
		command(`"query-uuid"`),
		command(`"query-kvm"`),
		command(`"query-status"`),
		command(`"query-cpus-fast"`),
		command(`"query-chardev"`),
		command(`"query-balloon"`),
		command(`"query-block"`),
		command(`"cont"`),
		command(`"stop"`),
		command(`"stop"`),
		command(`"cont"`),
		command(`"system_reset"`),
		command(`"system_powerdown"`),
		command(`"balloon","arguments":{"value":33554432}`),
		command(`"send-key","arguments":{"keys":[{"type":"qcode","data":"a"}]}`),
		command(`"send-key","arguments":{"keys":[{"type":"qcode","data":"ctrl"},{"type":"qcode","data":"f1"}],"hold-time":10}`),
		command(`"eject","arguments":{"device":"hdc","force":true}`),
		command(`"blockdev-change-medium","arguments":{"id":"hdc","filename":"` + disc + `","format":"raw"}`),
		command(`"blockdev-open-tray","arguments":{"id":"hdc","force":true}`),
		command(`"blockdev-open-tray","arguments":{"id":"hdc"}`),
		command(`"blockdev-remove-medium","arguments":{"id":"hdc"}`),
		command(`"blockdev-remove-medium","arguments":{"id":"hdc"}`),
		command(`"blockdev-add","arguments":{"driver":"file","node-name":"storage","filename":"` + disc + `","read-only":true}`),
		command(`"blockdev-add","arguments":{"driver":"raw","node-name":"format","file":"storage","read-only":true}`),
		command(`"blockdev-add","arguments":{"driver":"raw","node-name":"format","file":"storage","read-only":true}`),
		command(`"blockdev-insert-medium","arguments":{"id":"hdc","node-name":"none"}`),
		command(`"blockdev-insert-medium","arguments":{"id":"hdc","node-name":"format"}`),
		command(`"blockdev-close-tray","arguments":{"id":"hdc"}`),
		command(`"blockdev-del","arguments":{"node-name":"format"}`),
		command(`"query-block"`),
		command(`"blockdev-open-tray","arguments":{"id":"none"}`),
		command(`"blockdev-close-tray"`),
		command(`"screendump","arguments":{"filename":"` + dump + `"}`),
		command(`"query-status"`),
		command(`"query-target"`),
		command(`"query-dump"`),
		command(`"query-blockstats"`),
		command(`"dump-guest-memory","arguments":{"paging":false,"protocol":"file:` + core + `"}`),

		command(`"dump-guest-memory","arguments":{"paging":false}`),
		command(`"dump-guest-memory","arguments":{"paging":false,"protocol":"http://x"}`),
		command(`"dump-guest-memory","arguments":{"paging":0,"protocol":"file:/x"}`),
		command(`"set_link","arguments":{"name":"none","up":true}`),
		command(`"set_link","arguments":{"name":"none"}`),
		command(`"watchdog-set-action","arguments":{"action":"nonsense"}`),
		command(`"watchdog-set-action"`),
		command(`"nonsense"`),
		command(`"query-status","arguments":{"x":1}`),
		command(`"query-status","arguments":[]`),
		command(`"query-status","arguments":null`),
		command(`"query-status","x":1`),
		command(`1`),
		"{\"exec-oob\":1}\n", "{}\n", "{\"id\":7}\n", "[]\n", "{\"execute\":}\n",
		command(`"balloon"`),
		command(`"balloon","arguments":{"value":"1"}`),
		command(`"balloon","arguments":{"value":0}`),
		command(`"balloon","arguments":{"value":-1}`),
		command(`"eject"`),
		command(`"eject","arguments":{"device":"none"}`),
		command(`"eject","arguments":{"id":"none"}`),
		command(`"eject","arguments":{"id":"hdc","device":"hdc"}`),
		command(`"eject","arguments":{"id":"hdc","force":1}`),
		command(`"blockdev-change-medium","arguments":{"id":"hdc"}`),
		command(`"send-key"`),
		command(`"send-key","arguments":{"keys":[{"type":"qcode","data":"nonsense"}]}`),
		command(`"send-key","arguments":{"keys":[{"type":"nonsense","data":"a"}]}`),
		command(`"screendump","arguments":{"filename":"/nonexistent/x"}`),
		command(`"screendump","arguments":{"filename":"` + dump + `","format":"gif"}`),
	} {
		got, want := ours.exchange(request), theirs.exchange(request)
		if e, failed := got["error"].(map[string]any); failed {
			e["desc"] = "" // our own words
			if w, failed := want["error"].(map[string]any); failed && w["class"] != e["class"] {
				t.Errorf("%s: %v, in QEMU %v", request, e["class"], w["class"])
			}
		}
		if err := like("", got, want); err != nil {
			t.Errorf("%s: %v\nhere: %v\nthere: %v", request, err, got, want)
		}
		if !reflect.DeepEqual(got["id"], want["id"]) {
			t.Errorf("%s: id %v, in QEMU %v", request, got["id"], want["id"])
		}
		if strings.Contains(request, dump) {
			if header, err := os.ReadFile(dump); err != nil || !strings.HasPrefix(string(header), "P6\n") {
				t.Errorf("%s: %.10q, %v", request, header, err)
			}
		}
	}
	for _, p := range []*peer{theirs, ours} {
		p.exchange(`{"execute":"quit"}`) // QEMU leaves a line break unread, which resets the connection
		if p == ours {
			go r.close()
		}
		rest, err := io.ReadAll(p.from)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(rest)) {
			p.note(line)
		}
	}
	for _, name := range []string{"STOP", "RESUME", "RESET", "POWERDOWN", "DEVICE_TRAY_MOVED", "DUMP_COMPLETED", "SHUTDOWN"} {
		_, here := ours.events[name]
		_, there := theirs.events[name]
		if !here || !there {
			t.Errorf("no event %s: here %v, in QEMU %v", name, slices.Sorted(maps.Keys(ours.events)), slices.Sorted(maps.Keys(theirs.events)))
		}
		if ours.events[name] == nil && theirs.events[name] == nil {
			continue
		}
		if err := like(name, ours.events[name], theirs.events[name]); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"RESET", "SHUTDOWN"} {
		if !reflect.DeepEqual(ours.events[name], theirs.events[name]) {
			t.Errorf("%s: %v, in QEMU %v", name, ours.events[name], theirs.events[name])
		}
	}
	if r.machine.State() != vmm.StateShutOff {
		t.Error("the machine did not end")
	}
}
