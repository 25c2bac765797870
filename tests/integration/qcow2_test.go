package integration

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	condition "github.com/govmm/govmm/tests/await"
)

// TestQcow2OverExport boots an installed system from a qcow2 image that is empty at
// first. Behind it is another one, on an NBD server. What the system writes is in
// the first one, which qemu-img has no complaint about, nor e2fsck about the file
// system in it; the second one stays as it was.
func TestQcow2OverExport(t *testing.T) {
	m, path := bootMedium(t, "debian-disk")
	dir := t.TempDir()
	base, over, raw := filepath.Join(dir, "base"), filepath.Join(dir, "over"), filepath.Join(dir, "raw")
	qemuImg(t, "convert", "-f", "raw", "-O", "qcow2", path, base)
	must(t, os.Chmod(base, 0o400))
	uri := serveExport(t, base)
	qemuImg(t, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", uri, over)

	xml := m.Domain(over, "virtio", "", "")
	as := strings.Replace(xml, "type='raw'/>", "type='qcow2'/>", 1)
	if as == xml {
		t.Fatal("the domain has no raw disk")
	}
	c := runFile(t, domainFile(t, as))
	for _, marker := range m.Markers {
		c.expect(marker)
	}
	c.send("root\n")
	c.expect(`root@govmm-guest:~# `)
	c.send("head -c 3M /dev/urandom > /kept && sha256sum < /kept\n")
	sum := c.expect(`([0-9a-f]{64})  -\r\n`)[1]
	c.send("poweroff\n")
	c.expect(`reboot: Power down`)
	c.exit(0)

	qemuImg(t, "check", "-q", "-f", "qcow2", over)
	qemuImg(t, "check", "-q", "-f", "qcow2", base)
	qemuImg(t, "convert", "-f", "qcow2", "-O", "raw", over, raw)
	partition := filepath.Join(dir, "partition")
	must(t, copyFrom(partition, raw, mib))
	checkExt4(t, partition)
	mounted := mountAt(t, loopDevice(t, partition), "ext4", unix.MS_RDONLY, "")
	said, err := exec.Command("sha256sum", filepath.Join(mounted, "kept")).CombinedOutput()
	must(t, err)
	if !strings.HasPrefix(string(said), sum) {
		t.Errorf("the file that the guest wrote has the sum %s, in the guest %s", said, sum)
	}
}

// qemuImg runs qemu-img.
func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	tool, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatalf("%v; install the package qemu-utils", err)
	}
	if said, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, said)
	}
}

// serveExport has an NBD server for a file, which can only be read, until the test
// ends, and returns the URI of the export.
func serveExport(t *testing.T, file string) string {
	t.Helper()
	tool, err := exec.LookPath("qemu-nbd")
	if err != nil {
		t.Fatalf("%v; install the package qemu-utils", err)
	}
	socket := filepath.Join(t.TempDir(), "nbd")
	server := exec.Command(tool, "-t", "-r", "-e", "4", "-f", "raw", "-x", "base", "-k", socket, file)
	must(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	condition.That(t, "qemu-nbd listens", func() bool { _, err := os.Stat(socket); return err == nil })
	return "nbd+unix:///base?socket=" + socket
}

// copyFrom copies a file from an offset on.
func copyFrom(to, from string, offset int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
