package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The kernel's virtio driver works with QEMU's devices in each of its ways. A
// QEMU that serves a packed ring does not come back from a list of descriptors
// in the wrong order, so that virtio-hostile stays away from it.
func TestQEMUVirtio(t *testing.T) {
	kernel := images(t).Kernel
	for _, c := range []struct{ mode, packed, tests string }{
		{"legacy", "off", "virtio-states,virtio-blk,virtio-rng,virtio-hostile"},
		{"modern", "off", "virtio-pci,virtio-states,virtio-blk,virtio-rng,virtio-hostile"},
		{"packed", "on", "virtio-states,virtio-blk,virtio-rng"},
	} {
		for _, irq := range []string{"intx", "msix"} {
			t.Run(c.mode+"-"+irq, func(t *testing.T) {
				disk := filepath.Join(t.TempDir(), "disk")
				if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
					t.Fatal(err)
				}
				r := run(t, kernel, QEMUOptions{
					PVH: true, Cmdline: fmt.Sprintf("test=%s virtio=%s irq=%s", c.tests, c.mode, irq),
					Args: []string{
						"-drive", "if=none,id=d0,format=raw,file=" + disk,
						"-device", "virtio-blk-pci,drive=d0,packed=" + c.packed,
						"-device", "virtio-rng-pci,packed=" + c.packed,
					},
				})
				if err := r.Report.Err(); err != nil {
					t.Error(err)
				}
				t.Logf("%v in all", r.Elapsed.Round(time.Millisecond))
			})
		}
	}
}

// A device that is not there, or cannot do what the command line wants, is a
// failure.
func TestQEMUVirtioFailure(t *testing.T) {
	kernel := images(t).Kernel
	for cmdline, want := range map[string]string{
		"test=virtio-blk":               "not ok virtio-blk present: there is no virtio disk",
		"test=virtio-pci":               "not ok virtio-pci functions: there is no virtio function",
		"test=virtio-rng virtio=packed": "not ok virtio-rng packed: packed rings are not offered",
	} {
		t.Run(cmdline, func(t *testing.T) {
			o := QEMUOptions{PVH: true, Cmdline: cmdline}
			if want[7:17] == "virtio-rng" {
				o.Args = []string{"-device", "virtio-rng-pci"}
			}
			r := run(t, kernel, o)
			err := r.Report.Err()
			if err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
				t.Errorf("Err() = %v, want %s", err, want)
			}
		})
	}
}
