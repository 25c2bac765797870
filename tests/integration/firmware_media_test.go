package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/govmm/govmm/tests/bootmedia"
)

// bootMedia are the media of package bootmedia that tests here boot: those of
// stock pieces, and a small program that comes over the network.
func bootMedia() []string {
	return []string{"grub-disk", "isolinux-cd", "memtest-disk", "debian-disk", "pxe-nbp", "ipxe-linux"}
}

// bootMedium returns a medium and its path: a copy, where the guest may write.
func bootMedium(t *testing.T, name string) (bootmedia.Medium, string) {
	t.Helper()
	m, err := bootmedia.Find(name)
	must(t, err)
	path := asset(name)
	if m.Attach == bootmedia.Disk {
		path = filepath.Join(t.TempDir(), name+".img")
		must(t, copySparse(path, asset(name)))
	}
	return m, path
}

// copySparse copies a file, and makes holes of what is zero.
func copySparse(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	piece := make([]byte, 256<<10)
	for size := int64(0); ; {
		n, err := io.ReadFull(in, piece)
		if !allZero(piece[:n]) {
			if _, err := out.WriteAt(piece[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.Join(out.Truncate(size), out.Close())
		case err != nil:
			return err
		}
	}
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// runMedium starts "govmm run" with a medium, and waits for its markers.
func runMedium(t *testing.T, m bootmedia.Medium, path, bus string) *command {
	t.Helper()
	c := runFile(t, domainFile(t, m.Domain(path, bus, "", "")))
	for _, marker := range m.Markers {
		c.expect(marker)
	}
	return c
}

// TestFirmwareMedia boots stock loaders and systems through SeaBIOS, from every
// kind of drive.
func TestFirmwareMedia(t *testing.T) {
	for _, test := range []struct{ name, bus string }{
		{"grub-disk", "ide"}, {"grub-disk", "virtio"}, {"isolinux-cd", "ide"}, {"memtest-disk", "ide"},
	} {
		t.Run(fmt.Sprintf("%s on %s", test.name, test.bus), func(t *testing.T) {
			m, path := bootMedium(t, test.name)
			c := runMedium(t, m, path, test.bus)
			if m.Rest == bootmedia.RunsOn {
				c.signal(syscall.SIGQUIT)
				c.exit(128 + int(syscall.SIGQUIT))
				return
			}
			c.exit(0)
		})
	}
}

// TestFirmwareDebian boots one installed system from a disk on IDE, then from the
// same disk on virtio, up to its login, and has it shut itself down.
func TestFirmwareDebian(t *testing.T) {
	m, path := bootMedium(t, "debian-disk")
	for _, bus := range []string{"ide", "virtio"} {
		t.Run(bus, func(t *testing.T) {
			c := runMedium(t, m, path, bus)
			c.send("root\n")
			c.expect(`root@govmm-guest:~# `)
			c.send("findmnt -no SOURCE / | tr a-z A-Z\n")
			c.expect(map[string]string{"ide": `/DEV/SDA1\r\n`, "virtio": `/DEV/VDA1\r\n`}[bus])
			c.send("poweroff\n")
			c.expect(`reboot: Power down`)
			c.exit(0)
		})
	}
}
