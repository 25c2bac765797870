package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDiskWhole has a guest fill a disk of 1 GiB in every cache mode and way of
// I/O, and read it back; the host finds the same in the image.
func TestDiskWhole(t *testing.T) {
	const size, seed = gib, 7000
	dir := mountAt(t, loopDevice(t, emptyExt4(t, 4*gib)), "ext4", 0, "noinit_itable,discard")
	var disks []disk
	devices := "<serial type='stdio'/>"
	for _, cache := range []string{"writeback", "writethrough", "none"} {
		for _, io := range []string{"threads", "native"} {
			d := disk{
				dev: "vd" + string(rune('a'+len(disks))), file: sparse(t, dir, cache+"-"+io, size),
				driver: fmt.Sprintf("cache='%s' io='%s' queues='1'", cache, io),
			}
			disks = append(disks, d)
			devices += d.xml()
		}
	}
	c := run(t, domain{initrd: cloudVirtio, cmdline: obeying, devices: devices})
	c.ready()
	for i, d := range disks {
		t.Run(filepath.Base(d.file), func(t *testing.T) {
			g := &guest{t: t, out: c.out, in: c.in}
			seed := uint64(seed + i)
			g.ask("write /dev/%s 0 %d %d", d.dev, size, seed)
			g.ask("read /dev/%s 0 %d %d", d.dev, size, seed)
			checkRange(t, d.file, 0, size, seed)
			release(t, d.file, size)
		})
	}
	c.send("poweroff\n")
	c.exit(0)
}

// emptyExt4 is a sparse file with a file system.
func emptyExt4(t *testing.T, size int64) string {
	t.Helper()
	file := sparse(t, t.TempDir(), "host.img", size)
	makeExt4(t, file, 0)
	return file
}

// release gives an image's blocks back to the host, whose memory they are.
func release(t *testing.T, file string, size int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, size))
	must(t, f.Sync())
}
