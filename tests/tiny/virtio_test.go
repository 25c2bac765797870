package tiny

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

// files are what the devices of one machine read and write on the host.
type files struct{ disk, readOnly, console, channel string }

// newFiles makes them in a directory: disks of 1 MiB whose sectors say their
// number, and nothing yet of what the guest will say.
func newFiles(t *testing.T) files {
	t.Helper()
	dir := t.TempDir()
	var content bytes.Buffer
	for n := range 2048 {
		fmt.Fprintf(&content, "sector %08d %s", n, strings.Repeat("\xa5", 512-16))
	}
	f := files{filepath.Join(dir, "disk"), filepath.Join(dir, "read-only"), filepath.Join(dir, "console"), filepath.Join(dir, "channel")}
	for _, name := range []string{f.disk, f.readOnly} {
		if err := os.WriteFile(name, content.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// read returns the content of all the files.
func (f files) read(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range []string{f.disk, f.readOnly, f.console, f.channel} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = string(b)
	}
	return all
}

func pciAddress(slot int) string {
	return fmt.Sprintf("<address type='pci' domain='0x0000' bus='0x00' slot='%#02x' function='0x0'/>", slot)
}

// xml are the devices as a domain has them.
func (f files) xml(packed bool) string {
	ring := onOff(packed)
	return fmt.Sprintf(`
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback' packed='%s'/><source file='%s'/>
  <target dev='vda' bus='virtio'/><serial>GOVMM-0001</serial>%s</disk>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback' packed='%s'/><source file='%s'/>
  <target dev='vdb' bus='virtio'/><readonly/>%s</disk>
<rng model='virtio'><backend model='random'>/dev/urandom</backend>%s</rng>
<controller type='virtio-serial' index='0' vectors='2'>%s</controller>
<console type='file'><source path='%s'/><target type='virtio' port='0'/></console>
<channel type='file'><source path='%s'/><target type='virtio' name='org.test.0'/></channel>
<memballoon model='virtio'>%s</memballoon>
`, ring, f.disk, pciAddress(4), ring, f.readOnly, pciAddress(5), pciAddress(6), pciAddress(7), f.console, f.channel, pciAddress(8))
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// qemu are the same devices as arguments of QEMU.
func (f files) qemu(packed bool) []string {
	ring := onOff(packed)
	var args []string
	for _, a := range [][2]string{
		{"-drive", "if=none,id=d0,format=raw,cache=writeback,discard=unmap,file=" + f.disk},
		{"-device", "virtio-blk-pci,drive=d0,serial=GOVMM-0001,num-queues=1,addr=4,packed=" + ring},
		{"-drive", "if=none,id=d1,format=raw,cache=writeback,readonly=on,file=" + f.readOnly},
		{"-device", "virtio-blk-pci,drive=d1,num-queues=1,addr=5,packed=" + ring},
		{"-object", "rng-random,id=r0,filename=/dev/urandom"},
		{"-device", "virtio-rng-pci,rng=r0,addr=6,packed=" + ring},
		{"-device", "virtio-serial-pci,id=s0,addr=7,packed=" + ring},
		{"-chardev", "file,id=c0,path=" + f.console},
		{"-device", "virtconsole,chardev=c0,nr=0"},
		{"-chardev", "file,id=c1,path=" + f.channel},
		{"-device", "virtserialport,chardev=c1,nr=1,name=org.test.0"},
		{"-device", "virtio-balloon-pci,page-poison=off,addr=8,packed=" + ring},
	} {
		args = append(args, a[0], a[1])
	}
	return args
}

// The kernel's virtio driver gets the same answers of our devices as of
// QEMU's, by each interface and with each kind of interrupt, and leaves the
// same content in the host's files.
func TestVirtio(t *testing.T) {
	kernel := images(t).Kernel
	for _, c := range []struct{ mode, irq, tests string }{
		{"modern", "msix", "virtio-pci,virtio-states,virtio-blk,virtio-rng,virtio-console,virtio-balloon,virtio-hostile"},
		{"modern", "intx", "virtio-states,virtio-blk,virtio-rng,virtio-console,virtio-balloon"},
		{"legacy", "intx", "virtio-states,virtio-blk,virtio-rng,virtio-console,virtio-balloon,virtio-hostile"},
		{"legacy", "msix", "virtio-states,virtio-blk,virtio-rng,virtio-console,virtio-balloon"},
		// QEMU hangs on what virtio-hostile does to a packed ring.
		{"packed", "msix", "virtio-states,virtio-blk,virtio-rng,virtio-console,virtio-balloon"},
		{"packed", "intx", "virtio-states,virtio-blk,virtio-rng,virtio-console,virtio-balloon"},
	} {
		t.Run(c.mode+"-"+c.irq, func(t *testing.T) {
			o := Options{PVH: true, Cmdline: fmt.Sprintf("test=%s virtio=%s irq=%s", c.tests, c.mode, c.irq)}
			mine := newFiles(t)
			o.Devices = mine.xml(c.mode == "packed")
			start := time.Now()
			exit, output := run(t, kernel, o)
			ours := report(t, output)
			if err := ours.Err(); err != nil {
				t.Error(err)
			}
			if exit.Cause != vmm.CauseDebugExit || exit.Code<<1|1 != guest.QEMUPassed {
				t.Errorf("ended by %v", exit)
			}
			elapsed, _ := ours.Lookup("kernel", "elapsed-us")
			t.Logf("%v in all, %s us of them the kernel's", time.Since(start).Round(time.Millisecond), elapsed.Detail)
			checkOurs(t, ours)

			other := newFiles(t)
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			theirs, err := guest.RunQEMU(ctx, kernel, guest.QEMUOptions{
				PVH: true, Cmdline: o.Cmdline, Args: other.qemu(c.mode == "packed"),
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := theirs.Report.Err(); err != nil {
				t.Errorf("QEMU: %v", err)
			}
			for _, d := range guest.Compare(theirs.Report, ours, virtioExceptions...) {
				t.Errorf("against QEMU: %s", d)
			}
			got := mine.read(t)
			for name, want := range other.read(t) {
				if got[name] != want {
					t.Errorf("the file of the %s differs from what QEMU leaves: %s", name, difference(want, got[name]))
				}
			}
		})
	}
}

// What the guest does to a packed ring against the rules costs it the device
// until a reset. QEMU 7.2 hangs on it, and so gives no second opinion.
func TestVirtioHostilePacked(t *testing.T) {
	exit, output := run(t, images(t).Kernel, Options{
		PVH: true, Cmdline: "test=virtio-hostile virtio=packed irq=msix", Devices: newFiles(t).xml(true),
	})
	r := report(t, output)
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if exit.Cause != vmm.CauseDebugExit {
		t.Errorf("ended by %v", exit)
	}
	checkOurs(t, r)
}

// checkOurs holds our machine to what the specification says where QEMU is
// more generous.
func checkOurs(t *testing.T, r *guest.Report) {
	t.Helper()
	for _, want := range []guest.Result{
		{Test: "virtio-states", Name: "unsupported-feature", Detail: "refused"},
		{Test: "virtio-states", Name: "no-version-1", Detail: "refused"},
		{Test: "virtio-states", Name: "features-late", Detail: "00000000"},
	} {
		if got, ok := r.Lookup(want.Test, want.Name); ok && got.Detail != want.Detail {
			t.Errorf("%s %s is %q, want %q", want.Test, want.Name, got.Detail, want.Detail)
		}
	}
	for _, x := range r.Results {
		if x.Test == "virtio-hostile" && x.Kind == guest.Value && x.Detail == "answered" {
			t.Errorf("the device answered the probe %s", x.Name)
		}
	}
}

// difference tells where two files differ first.
func difference(want, got string) string {
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return fmt.Sprintf("byte %d is %#x, want %#x", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d bytes, want %d", len(got), len(want))
}

// virtioExceptions are the answers in which our devices are meant to differ.
var virtioExceptions = []string{
	// QEMU offers to discard on a disk that it does not write.
	"virtio-blk ro-features",
	// QEMU's console has no size.
	"virtio-pci console-features", "virtio-pci console-legacy-features", "virtio-console driver-features",
	// QEMU's balloon has no MSI-X.
	"virtio-pci balloon-bar", "virtio-pci balloon-msix",
	// QEMU takes what is no memory at all for a device's, and does not check how
	// far the available index of a split ring is ahead.
	"virtio-hostile outside-ram", "virtio-hostile far-outside-ram", "virtio-hostile header-outside-ram",
	"virtio-hostile index-jump",
}
