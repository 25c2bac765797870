package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm/statedir"
)

// Fifty machines run at once in the background, four times over, and are ended in one way
// and another. No process, tap or file is left of them.
func TestManyStarted(t *testing.T) {
	rounds, n := 4, 50
	if testing.Short() {
		rounds, n = 1, 8
	}
	taps := fmt.Sprintf("ms%dn", os.Getpid()%1_000_000)
	dir := t.TempDir()
	files := make([]string, n)
	for i := range files {
		devices := nullSerial
		if os.Geteuid() == 0 {
			devices += fmt.Sprintf(`<interface type='ethernet'><script path=''/><target dev='%s%d'/><model type='virtio'/></interface>`, taps, i)
		}
		xml := machine{cmdline: "test=boot exit=hang", memory: "32768", devices: devices}.xml()
		files[i] = filepath.Join(dir, fmt.Sprintf("many%d.xml", i))
		xml = strings.Replace(xml, "<name>test</name>", fmt.Sprintf("<name>many%d</name>", i), 1)
		if err := os.WriteFile(files[i], []byte(xml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range rounds {
		inParallel(n, func(i int) {
			if code, _, stderr := govmm(t, "start", "--log-file", filepath.Join(dir, "log"), files[i]); code != exitOK {
				t.Errorf("start: exit code %d, %s", code, stderr)
			}
		})
		rows := allListed(t)
		if len(rows) != n {
			t.Errorf("%d machines are listed, want %d", len(rows), n)
		}
		inParallel(len(rows), func(i int) { endOne(t, i, rows[i]) })
		for _, r := range rows {
			eventually(t, func() bool { return hasEnded(r.PID) },
				func() string { return fmt.Sprintf("process %d of %s does not end", r.PID, r.Name) })
		}
		if rows := allListed(t); len(rows) != 0 {
			t.Errorf("at the end there are %v", rows)
		}
		if left, err := os.ReadDir(statedir.Root()); len(left) > 0 || err != nil {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if left := interfacesNamed(t, taps); len(left) > 0 {
			t.Errorf("taps %v are left", left)
		}
		if t.Failed() {
			break
		}
	}
}

// hasEnded reports whether a process has, though its parent may not know yet.
func hasEnded(pid int) bool {
	stat, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	return errors.Is(err, fs.ErrNotExist) || err == nil && stat[2] == "Z"
}

// endOne ends a machine in a way that depends on its number. One that is killed leaves
// its directory, which list removes.
func endOne(t *testing.T, i int, r machineRow) {
	switch i % 3 {
	case 0:
		if code, _, stderr := govmm(t, "destroy", r.Name); code != exitOK {
			t.Errorf("destroy: exit code %d, %s", code, stderr)
		}
	case 1:
		if err := unix.Kill(r.PID, unix.SIGQUIT); err != nil {
			t.Error(err)
		}
	case 2:
		if err := unix.Kill(r.PID, unix.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// inParallel calls f with the numbers below n, several at a time.
func inParallel(n int, f func(i int)) {
	places := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range n {
		places <- struct{}{}
		wg.Go(func() { f(i); <-places })
	}
	wg.Wait()
}

func allListed(t *testing.T) (rows []machineRow) {
	t.Helper()
	if err := json.Unmarshal([]byte(ok(t, "list", "--json")), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// interfacesNamed are the network interfaces whose names begin so.
func interfacesNamed(t *testing.T, prefix string) (names []string) {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if strings.HasPrefix(i.Name, prefix) {
			names = append(names, i.Name)
		}
	}
	return names
}
