package vmm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/block/image"
	"github.com/govmm/govmm/block/qcow"
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

// What a guest sees of an image in a format, and leaves in it, is as with a raw
// one: over backing files, which stay as they are, and on a server, where the image
// has room to grow in.
func TestImageFormats(t *testing.T) {
	local := diskImage(t)
	want := guestOutput(t, `<disk><source file='`+local+`'/><target dev='vda'/></disk>`)
	data, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"qed", "qcow2"} {
		t.Run(format, func(t *testing.T) { likeRaw(t, format, want, data) })
	}
}

// A growing image of Bochs is written as well, and one of the first qcow read, also if
// it is encrypted.
func TestOldFormats(t *testing.T) {
	local := diskImage(t)
	disk := func(driver, path, more string) string {
		return `<disk><driver name='qemu' type='` + driver + `'/><source file='` + path + `'/><target dev='vda'/>` + more + `</disk>`
	}
	dir := t.TempDir()
	growing, old, locked := filepath.Join(dir, "growing"), filepath.Join(dir, "old"), filepath.Join(dir, "locked")
	fresh, err := image.Create(t.Context(), image.CreateOptions{Source: image.Source{Name: growing, Format: "bochs"}, Size: 1 << 20})
	if err != nil || fresh != 1<<20 {
		t.Fatal(fresh, err)
	}
	want := guestOutput(t, disk("raw", local, ""))
	if got := guestOutput(t, disk("bochs", growing, "")); got != want {
		t.Errorf("the guest says of a growing image:\n%s\nand of a raw one:\n%s", got, want)
	}
	raw := filepath.Join(dir, "raw")
	qemuImg(t, "convert", "-f", "bochs", "-O", "raw", growing, raw)
	if !bytes.Equal(contents(t, dir, "raw"), contents(t, filepath.Dir(local), filepath.Base(local))) {
		t.Error("the guest leaves other data than in a raw image")
	}

	want = guestOutput(t, disk("raw", raw, "<readonly/>"))
	qemuImg(t, "convert", "-f", "raw", "-O", "qcow", raw, old)
	qemuImg(t, "convert", "--object", "secret,id=s,data="+diskSecret, "-f", "raw", "-O", "qcow", "-o", "encrypt.format=aes,encrypt.key-secret=s", raw, locked)
	t.Setenv(secretVariable, diskSecret)
	encryption := `<encryption format='qcow'><secret type='passphrase' uuid='` + secretUUID + `'/></encryption>`
	for path, more := range map[string]string{old: "<readonly/>", locked: "<readonly/>" + encryption} {
		if got := guestOutput(t, disk("qcow", path, more)); got != want {
			t.Errorf("the guest says of an image of the first qcow:\n%s\nand of a raw one:\n%s", got, want)
		}
	}
	for path, more := range map[string]string{locked: "<readonly/>", old: "<readonly/>" + encryption} {
		d, err := tiny.Options{Devices: disk("qcow", path, more)}.Domain(kernel(t))
		if err != nil {
			t.Fatal(err)
		}
		m, err := vmm.New(deadline(t), d, vmm.Options{})
		if err == nil {
			m.Close()
		}
		if !errors.Is(err, qcow.ErrEncrypted) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}

func likeRaw(t *testing.T, format, want string, data []byte) {
	dir := t.TempDir()
	over, served := filepath.Join(dir, "over"), filepath.Join(dir, "served")
	if err := os.WriteFile(filepath.Join(dir, "backing"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if format == "qed" {
		qemuImg(t, "create", "-q", "-f", "qed", "-F", "raw", "-b", "backing", over)
	} else {
		// Three files one behind the other, in each format.
		qemuImg(t, "create", "-q", "-f", "qed", "-F", "raw", "-b", "backing", filepath.Join(dir, "first"))
		qemuImg(t, "create", "-q", "-f", "qcow2", "-F", "qed", "-b", "first", filepath.Join(dir, "second"))
		qemuImg(t, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "second", over)
	}
	before := contents(t, dir, "backing", "first", "second")
	qemuImg(t, "create", "-q", "-f", format, served, "1M")
	if err := os.Truncate(served, 4<<20); err != nil {
		t.Fatal(err)
	}
	socket, stop := serve(t, dir, served)

	driver := `<driver name='qemu' type='` + format + `'/>`
	got := guestOutput(t, `<disk>`+driver+`<source file='`+over+`'/><target dev='vda'/></disk>`)
	if got != want {
		t.Errorf("the guest says of an image:\n%s\nand of a raw one:\n%s", got, want)
	}
	got = guestOutput(t, `<disk type='network'>`+driver+`<source protocol='nbd' name='disk'><host transport='unix' socket='`+socket+`'/></source><target dev='vda'/></disk>`)
	if got != want {
		t.Errorf("the guest says of an image on a server:\n%s\nand of a raw one:\n%s", got, want)
	}
	stop()
	for _, image := range []string{over, served} {
		raw := filepath.Join(dir, "raw")
		if format == "qcow2" { // QED takes what is behind the image for leaks
			qemuImg(t, "check", "-q", "-f", format, image)
		}
		qemuImg(t, "convert", "-f", format, "-O", "raw", image, raw)
		left, err := os.ReadFile(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(left, data) || bytes.Equal(left, make([]byte, len(left))) {
			t.Errorf("%s: the guest leaves other data than in a raw image, or none", filepath.Base(image))
		}
	}
	if !bytes.Equal(contents(t, dir, "backing", "first", "second"), before) {
		t.Error("a backing file was changed")
	}
}

// TestBackingExport has the backing file of an image on a server, in a format of
// its own.
func TestBackingExport(t *testing.T) {
	local := diskImage(t)
	want := guestOutput(t, `<disk><source file='`+local+`'/><target dev='vda'/></disk>`)
	dir := t.TempDir()
	base, over, raw := filepath.Join(dir, "base"), filepath.Join(dir, "over"), filepath.Join(dir, "raw")
	qemuImg(t, "create", "-q", "-f", "qcow2", base, "1M")
	before := contents(t, dir, "base")
	socket, stop := serve(t, dir, base)
	qemuImg(t, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "nbd+unix:///disk?socket="+socket, over)
	got := guestOutput(t, `<disk><driver name='qemu' type='qcow2'/><source file='`+over+`'/><target dev='vda'/></disk>`)
	if got != want {
		t.Errorf("the guest says of an image:\n%s\nand of a raw one:\n%s", got, want)
	}
	qemuImg(t, "convert", "-f", "qcow2", "-O", "raw", over, raw)
	stop()
	if !bytes.Equal(contents(t, dir, "raw"), contents(t, filepath.Dir(local), filepath.Base(local))) {
		t.Error("the guest leaves other data than in a raw image")
	}
	if !bytes.Equal(contents(t, dir, "base"), before) {
		t.Error("the backing file was changed")
	}
}

// contents is what is in the files of a folder, as far as they are there.
func contents(t *testing.T, dir string, names ...string) (all []byte) {
	t.Helper()
	for _, name := range names {
		p, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		all = append(all, p...)
	}
	return all
}

// serve has an NBD server for a file, until the test ends or stop is called.
func serve(t *testing.T, dir, file string) (socket string, stop func()) {
	t.Helper()
	program, err := exec.LookPath("qemu-nbd")
	if err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	socket = filepath.Join(dir, "socket")
	server := exec.Command(program, "-t", "-f", "raw", "-x", "disk", "-k", socket, file)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}
	t.Cleanup(stop)
	await.That(t, "qemu-nbd listens", func() bool { _, err := os.Stat(socket); return err == nil })
	return socket, stop
}

// A backing file is not opened if the image does not record a format for it that
// there is, if it has a protocol, or if it is behind itself.
func TestBackingRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ format, backing, backingFormat, want string }{
		"qed format":      {"qed", "../backing", "qcow2", "-F raw -b ../backing"},
		"qed protocol":    {"qed", "nbd:localhost:1", "raw", "source with a protocol"},
		"qed itself":      {"qed", "qed itself", "raw", "form a loop"},
		"qcow2 protocol":  {"qcow2", "nbd:localhost:1", "raw", "source with a protocol"},
		"qcow2 format":    {"qcow2", "there", "vmdk", `the image format "vmdk" is not`},
		"qcow2 no format": {"qcow2", "there", "", "names the backing file"},
		"qcow2 itself":    {"qcow2", "qcow2 itself", "qcow2", "form a loop"},
		"qcow":            {"qcow", "there", "raw", "govmm img convert -f qcow --backing-format"},
		"qcow2 not there": {"qcow2", "nowhere", "raw", "nowhere: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			image := filepath.Join(dir, name)
			qemuImg(t, "create", "-q", "-f", test.format, image, "1M")
			readOnly := ""
			if test.format == "qcow" {
				readOnly = "<readonly/>"
				qemuImg(t, "create", "-q", "-f", "qcow", "-b", test.backing, "-F", test.backingFormat, image)
			} else if test.backingFormat == "" {
				withoutFormat(t, image, test.backing)
			} else {
				qemuImg(t, "rebase", "-u", "-f", test.format, "-b", test.backing, "-F", test.backingFormat, image)
			}
			d, err := tiny.Options{Devices: `<disk><driver type='` + test.format + `'/><source file='` + image + `'/><target dev='vda'/>` + readOnly + `</disk>`}.Domain(kernel(t))
			if err != nil {
				t.Fatal(err)
			}
			m, err := vmm.New(deadline(t), d, vmm.Options{})
			if err == nil {
				m.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// withoutFormat writes the name of a backing file, and no format, into the header of
// a qcow2 image, as old versions of qemu-img did.
func withoutFormat(t *testing.T, image, backing string) {
	t.Helper()
	const at = 0x1000
	p, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(p[8:], at)
	binary.BigEndian.PutUint32(p[16:], uint32(len(backing)))
	copy(p[at:], backing)
	if err := os.WriteFile(image, p, 0o600); err != nil {
		t.Fatal(err)
	}
}
