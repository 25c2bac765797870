package integration

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	mib = 1 << 20
	gib = 1 << 30
)

// disk is a disk of the domain and what the guest shall find of it.
type disk struct {
	dev    string // vda
	file   string
	driver string // more attributes of <driver>
	more   string // more elements
}

func (d disk) xml() string {
	return fmt.Sprintf("<disk type='file'><driver name='qemu' type='raw' %s/><source file='%s'/>"+
		"<target dev='%s' bus='virtio'/>%s</disk>", d.driver, d.file, d.dev, d.more)
}

// TestDisks gives a guest a disk of every cache mode and way of I/O, and has it
// write to each past its page cache and through a file system. What it wrote is
// on the host's files afterwards, whose file systems have no fault.
func TestDisks(t *testing.T) {
	const (
		vcpus    = 2
		system   = 512 * mib // the file system takes half of the disk
		raw      = 768 * mib // where the guest writes without one
		rawSize  = 32 * mib
		files    = 4
		fileSize = 2 * mib
		seed     = 100
	)
	dir := directory(t, 8*gib)
	var disks []disk
	devices := "<serial type='stdio'/>"
	for _, cache := range []string{"writeback", "writethrough", "none"} {
		for _, io := range []string{"threads", "native"} {
			dev := "vd" + string(rune('a'+len(disks)))
			d := disk{
				dev: dev, file: sparse(t, dir, cache+"-"+io, gib),
				driver: fmt.Sprintf("cache='%s' io='%s'", cache, io),
				more:   "<serial>" + strings.ToUpper(dev) + "-" + cache + "</serial>",
			}
			makeExt4(t, d.file, system>>10)
			disks = append(disks, d)
			devices += d.xml()
		}
	}
	readOnly := disk{dev: "vdg", file: sparse(t, dir, "read-only", gib), driver: "queues='1'", more: "<readonly/>"}
	devices += readOnly.xml()

	c := run(t, domain{vcpus: vcpus, initrd: cloudVirtio, cmdline: obeying, devices: devices})
	c.ready()
	for i, d := range disks {
		t.Run(filepath.Base(d.file), func(t *testing.T) {
			g := &guest{t: t, out: c.out, in: c.in}
			g.checkDisk(d, vcpus)
			seed := uint64(seed * (i + 1))
			g.ask("write /dev/%s %d %d %d", d.dev, raw, rawSize, seed)
			g.ask("read /dev/%s %d %d %d", d.dev, raw, rawSize, seed)
			g.ask("mount /dev/%s /%s", d.dev, d.dev)
			g.ask("fill /%s %d %d %d", d.dev, files, fileSize, seed)
			g.ask("check /%s %d %d %d", d.dev, files, fileSize, seed)
			g.ask("unmount /%s", d.dev)
			g.checkQueues(d.dev, vcpus)
		})
	}
	c.checkReadOnly(readOnly.dev)
	c.send("poweroff\n")
	c.exit(0)

	for i, d := range disks {
		seed := uint64(seed * (i + 1))
		checkRange(t, d.file, raw, rawSize, seed)
		checkExt4(t, d.file)
		mounted := mountAt(t, loopDevice(t, d.file), "ext4", unix.MS_RDONLY, "")
		for n := range files {
			checkStream(t, filepath.Join(mounted, strconv.Itoa(n)), 0, fileSize, seed+uint64(n))
		}
	}
	var stat unix.Stat_t
	must(t, unix.Stat(readOnly.file, &stat))
	if stat.Blocks != 0 {
		t.Errorf("the read-only disk's image has %d blocks that it had not", stat.Blocks)
	}
}

// checkDisk looks at what the guest's kernel knows of a disk.
func (g *guest) checkDisk(d disk, vcpus int) {
	g.t.Helper()
	sys := "/sys/block/" + d.dev
	if got := g.ask("cat %s/serial", sys); !strings.Contains(d.more, ">"+got+"<") {
		g.t.Errorf("the serial number is %q, want that of %s", got, d.more)
	}
	if got := g.ask("cat %s/size", sys); got != strconv.Itoa(gib/512) {
		g.t.Errorf("the disk has %s sectors, want %d", got, gib/512)
	}
	if got := g.ask("cat %s/ro", sys); got != "0" {
		g.t.Errorf("ro is %s", got)
	}
	cache := "write back"
	if strings.Contains(d.driver, "writethrough") {
		cache = "write through"
	}
	if got := g.ask("cat %s/queue/write_cache", sys); got != cache {
		g.t.Errorf("the guest takes the cache for %s, want %s", got, cache)
	}
	if got := len(strings.Fields(g.ask("list %s/mq", sys))); got != vcpus {
		g.t.Errorf("the disk has %d queues, want one for each of %d vCPUs", got, vcpus)
	}
}

// checkQueues looks for an MSI-X interrupt of each of a disk's queues, and that
// some were raised.
func (g *guest) checkQueues(dev string, queues int) {
	g.t.Helper()
	raised := g.interrupts(g.virtioName("/sys/block/"+dev) + "-req.")
	sum := 0
	for _, n := range raised {
		sum += n
	}
	if len(raised) != queues || sum == 0 {
		g.t.Errorf("interrupts of the queues: %v, want %d, not all of them 0", raised, queues)
	}
}

// checkReadOnly tries to write to a disk of one queue that is read-only.
func (g *guest) checkReadOnly(dev string) {
	g.t.Helper()
	if got := g.ask("cat /sys/block/%s/ro", dev); got != "1" {
		g.t.Errorf("of the read-only disk ro is %s", got)
	}
	if got := g.ask("list /sys/block/%s/mq", dev); got != "0" {
		g.t.Errorf("with queues='1' the queues are %s", got)
	}
	g.refuses("operation not permitted", "write /dev/%s 0 4096 1", dev)
}
