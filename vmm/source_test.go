package vmm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// guestOutput runs the tiny kernel's test of a virtio disk, and returns what it
// says of it.
func guestOutput(t *testing.T, disk string) string {
	t.Helper()
	m, out := newMachine(t, tiny.Options{Cmdline: "test=virtio-blk exit=hang", Devices: disk})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, " not ok\n", 1) // the end of the last line
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	// Times differ from one boot to the next.
	text := regexp.MustCompile("(kicks|elapsed-us) = .*").ReplaceAllString(out.String(), "$1")
	text = text[strings.Index(text, "virtio-blk"):]
	text, _, _ = strings.Cut(text, "\ndone ")
	return text
}

func diskImage(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// What a guest sees of a disk, and leaves on it, does not depend on where it is.
func TestNetworkDisk(t *testing.T) {
	program, err := exec.LookPath("qemu-nbd")
	if err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	local, remote := diskImage(t), diskImage(t)
	socket := filepath.Join(t.TempDir(), "socket")
	server := exec.Command(program, "-t", "-f", "raw", "-x", "disk", "-k", socket, "--discard=unmap", remote)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	await.That(t, "qemu-nbd listens", func() bool { _, err := os.Stat(socket); return err == nil })
	want := guestOutput(t, `<disk><source file='`+local+`'/><target dev='vda'/></disk>`)
	got := guestOutput(t, `<disk type='network'><source protocol='nbd' name='disk'><host transport='unix' socket='`+socket+`'/></source><target dev='vda'/></disk>`)
	if got != want {
		t.Errorf("the guest says of a network disk:\n%s\nand of a file:\n%s", got, want)
	}
	a, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(remote)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) || bytes.Equal(a, make([]byte, len(a))) {
		t.Error("the guest leaves other data on a network disk than in a file, or none")
	}
}

// A folder is a disk that begins with a boot sector and cannot be written, on virtio and in a floppy drive,
// and one that does not fit says so.
func TestFolderDisk(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	both := `<disk type='dir'><source dir='` + dir + `'/><target dev='vda'/></disk>
<disk type='dir' device='floppy'><source dir='` + dir + `'/><target dev='fda'/></disk>`
	got := guestOutput(t, both)
	if !strings.Contains(got, "first cd18f4ebfd00") || !strings.Contains(got, "virtio-blk write 01\n") {
		t.Errorf("the guest says of a folder:\n%s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := tiny.Options{Devices: both}.Domain(kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err := vmm.New(deadline(t), d, vmm.Options{})
	if err == nil {
		m.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "disk[2]: fda: directory "+dir+": too big for a floppy") {
		t.Errorf("a folder too big for a floppy: %v", err)
	}
}
