package vmm_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// What a guest sees of a QED image, and leaves in it, is as with a raw one: over
// a backing file, which stays as it is, and on a server, where the image has room
// to grow in.
func TestQEDDisk(t *testing.T) {
	local := diskImage(t)
	want := guestOutput(t, `<disk><source file='`+local+`'/><target dev='vda'/></disk>`)
	data, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	over, backing, served := filepath.Join(dir, "over"), filepath.Join(dir, "backing"), filepath.Join(dir, "served")
	if err := os.WriteFile(backing, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	qemuImg(t, "create", "-q", "-f", "qed", "-F", "raw", "-b", "backing", over)
	qemuImg(t, "create", "-q", "-f", "qed", served, "1M")
	if err := os.Truncate(served, 4<<20); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("qemu-nbd")
	if err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	socket := filepath.Join(dir, "socket")
	server := exec.Command(program, "-t", "-f", "raw", "-x", "disk", "-k", socket, served)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}
	t.Cleanup(stop)
	await.That(t, "qemu-nbd listens", func() bool { _, err := os.Stat(socket); return err == nil })

	got := guestOutput(t, `<disk><driver name='qemu' type='qed'/><source file='`+over+`'/><target dev='vda'/></disk>`)
	if got != want {
		t.Errorf("the guest says of a QED image:\n%s\nand of a raw one:\n%s", got, want)
	}
	got = guestOutput(t, `<disk type='network'><driver name='qemu' type='qed'/><source protocol='nbd' name='disk'><host transport='unix' socket='`+socket+`'/></source><target dev='vda'/></disk>`)
	if got != want {
		t.Errorf("the guest says of a QED image on a server:\n%s\nand of a raw one:\n%s", got, want)
	}
	stop()
	for _, image := range []string{over, served} {
		raw := filepath.Join(dir, "raw")
		qemuImg(t, "convert", "-f", "qed", "-O", "raw", image, raw)
		left, err := os.ReadFile(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(left, data) || bytes.Equal(left, make([]byte, len(left))) {
			t.Errorf("%s: the guest leaves other data than in a raw image, or none", filepath.Base(image))
		}
	}
	if left, err := os.ReadFile(backing); err != nil || !bytes.Equal(left, make([]byte, 1<<20)) {
		t.Error("the backing file was changed", err)
	}
}

// A backing file whose format the image does not record is not opened, nor is
// one with a protocol.
func TestQEDBackingRefused(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ backing, want string }{
		"format":   {"../backing", "-F raw -b ../backing"},
		"protocol": {"nbd:localhost:1", "is a source with a protocol"},
	} {
		image := filepath.Join(dir, name)
		qemuImg(t, "create", "-q", "-f", "qed", image, "1M")
		args := []string{"rebase", "-u", "-f", "qed", "-b", test.backing}
		if name == "protocol" {
			args = append(args, "-F", "raw")
		} else {
			args = append(args, "-F", "qcow2")
		}
		qemuImg(t, append(args, image)...)
		d, err := tiny.Options{Devices: `<disk><driver type='qed'/><source file='` + image + `'/><target dev='vda'/></disk>`}.Domain(kernel(t))
		if err != nil {
			t.Fatal(err)
		}
		m, err := vmm.New(deadline(t), d, vmm.Options{})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
