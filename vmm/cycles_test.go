package vmm_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// first is the kernel that ends at once.
func first(t testing.TB) guest.Image {
	t.Helper()
	all, err := guest.Build(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return all.First
}

// everything is a device of each kind, with a file of the host where it has one.
func everything(t testing.TB, dir string) string {
	t.Helper()
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return `<disk type='file'><source file='` + disk + `'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>
<serial type='pty'/><channel type='pty'><target type='virtio' name='org.test.0'/></channel>
<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>
<video><model type='vga'/></video><watchdog model='i6300esb'/><memballoon model='virtio'/>
<rng model='virtio'><backend model='random'/></rng>` + taps(2)
}

// tapPrefix is how the names of this process's taps begin.
func tapPrefix() string { return fmt.Sprintf("cy%d", os.Getpid()%1_000_000) }

// taps are network interfaces on taps, for a user who can make them.
func taps(n int) (xml string) {
	if os.Geteuid() != 0 {
		return ""
	}
	for i := range n {
		xml += fmt.Sprintf(`<interface type='ethernet'><script path=''/><target dev='%s%d'/><model type='virtio'/><driver name='qemu'/></interface>`,
			tapPrefix(), i)
	}
	return xml
}

// tapsLeft are the taps that there are.
func tapsLeft(t testing.TB) (names []string) {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if strings.HasPrefix(i.Name, tapPrefix()) {
			names = append(names, i.Name)
		}
	}
	return names
}

// Two hundred times a machine is built, run to its end and closed, each time in one of
// the ways in which that can be; nothing is left of it.
func TestCycles(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 20
	}
	dir := t.TempDir()
	o := tiny.Options{Devices: everything(t, dir)}
	image := first(t)
	cycle := func(i int) {
		d, err := o.Domain(image)
		if err != nil {
			t.Fatal(err)
		}
		m, err := vmm.New(deadline(t), d, vmm.Options{DebugExit: true})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		switch i % 4 {
		case 0: // never started
		case 1:
			if err := m.Start(); err != nil {
				t.Error(err)
			}
			m.Destroy("enough")
		default:
			if exit, err := m.Run(deadline(t)); err != nil || exit.Cause != vmm.CauseDebugExit {
				t.Errorf("ended by %v, %v", exit, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	cycle(2) // what the runtime keeps for itself is there afterwards
	before := resources(t)
	for i := range n {
		if cycle(i); t.Failed() {
			break
		}
	}
	before.check(t)
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files %v, %v", left, err)
	}
	if left := tapsLeft(t); len(left) > 0 {
		t.Errorf("taps %v", left)
	}
}
