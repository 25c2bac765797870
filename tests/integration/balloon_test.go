package integration

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/govmm/govmm/virtio/balloon"
	"github.com/govmm/govmm/vmm"
)

// TestBalloon gives a guest less memory than it was promised, more, and less
// again, and looks at what it and the host have of it. Beside the balloon the
// machine has other devices of virtio, at addresses of the domain's choice.
func TestBalloon(t *testing.T) {
	const (
		promised = 384 * mib
		start    = 256 * mib
		least    = 160 * mib
		slack    = 24 * mib // of the host's figures, which have other things in them
	)
	m := newMachine(t, domain{
		memory: fmt.Sprintf("<memory unit='b'>%d</memory><currentMemory unit='b'>%d</currentMemory>", promised, start),
		initrd: cloudVirtio, cmdline: obeying,
		balloon: "<memballoon model='virtio'>" + pciAddress(0x0A, 0) + "</memballoon>",
		devices: "<serial type='stdio'/>" +
			"<rng model='virtio'><backend model='random'>/dev/urandom</backend>" + pciAddress(0x0C, 0) + "</rng>" +
			"<controller type='virtio-serial' index='0'>" + pciAddress(0x1F, 0) + "</controller>" +
			disk{dev: "vda", file: sparse(t, t.TempDir(), "disk", mib), more: pciAddress(0x10, 0, "on")}.xml() +
			disk{dev: "vdb", file: sparse(t, t.TempDir(), "disk", 2*mib), more: pciAddress(0x10, 5)}.xml(),
	})
	events, cancel := m.Subscribe(1)
	defer cancel()
	must(t, m.Start())
	m.ready()
	m.checkAddresses()
	m.checkEntropy()

	m.memoryBecomes(events, start)
	small := m.memTotal()
	stats, err := m.MemoryStats(t.Context())
	if err != nil || stats[balloon.Total] != small || stats[balloon.Free] == 0 || stats[balloon.Free] >= small {
		t.Errorf("of %d bytes the guest says %v, %v", small, stats, err)
	}
	must(t, m.SetMemory(promised))
	m.memoryBecomes(events, promised)
	if got := m.memTotal(); got != small+promised-start {
		t.Errorf("with %d bytes more MemTotal goes from %d to %d bytes", promised-start, small, got)
	}
	before := residentSize(t)
	m.ask("touch %d", start)
	used := residentSize(t)
	if used < before+promised-start-slack {
		t.Errorf("the guest uses its memory, and the host's RSS goes from %d to %d MiB", before/mib, used/mib)
	}
	must(t, m.SetMemory(least))
	m.memoryBecomes(events, least)
	if got := m.memTotal(); got != small-(start-least) {
		t.Errorf("with %d bytes MemTotal is %d bytes, want %d", least, got, small-(start-least))
	}
	after := residentSize(t)
	if after > used-(promised-least)*3/4+slack {
		t.Errorf("the guest gives %d MiB back, and the host's RSS goes from %d to %d MiB", (promised-least)/mib, used/mib, after/mib)
	}
	must(t, m.SetMemory(promised))
	m.memoryBecomes(events, promised)
	m.ask("touch %d", start)
	again := residentSize(t)
	if again < used-slack {
		t.Errorf("the guest uses its memory again, and the host's RSS goes from %d to %d MiB, not %d", after/mib, again/mib, used/mib)
	}
	t.Logf("RSS in MiB: %d, used %d, after the balloon %d, used again %d", before/mib, used/mib, after/mib, again/mib)
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
}

// memoryBecomes waits until the balloon has come to a size of memory.
func (m *machine) memoryBecomes(events <-chan vmm.Event, bytes uint64) {
	m.t.Helper()
	for m.Memory() != bytes {
		await(m.t, events, vmm.EventBalloon)
	}
}

// memTotal is the memory that the guest's kernel has, in bytes.
func (m *machine) memTotal() uint64 {
	m.t.Helper()
	return m.fact("memtotal").number(m.t, "memtotal") << 10
}

// residentSize is this process's memory on the host, in bytes.
func residentSize(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	must(t, err)
	match := regexp.MustCompile(`\nRss: *(\d+) kB`).FindSubmatch(text)
	if match == nil {
		t.Fatalf("smaps_rollup has no Rss: %s", text)
	}
	kib, err := strconv.Atoi(string(match[1]))
	must(t, err)
	return kib << 10
}

// pciAddress is a function on the only bus.
func pciAddress(slot, function int, multifunction ...string) string {
	more := ""
	if len(multifunction) > 0 {
		more = " multifunction='" + multifunction[0] + "'"
	}
	return fmt.Sprintf("<address type='pci' domain='0x0000' bus='0x00' slot='%#02x' function='%#x'%s/>", slot, function, more)
}

// checkAddresses looks for the devices of TestBalloon where its domain wants
// them, with the device numbers of transitional ones (Virtual I/O Device
// specification 1.3, section 4.1.2.1).
func (m *machine) checkAddresses() {
	m.t.Helper()
	found := m.fact("pci").all("pci")
	var virtio []string
	for _, line := range found {
		if words := strings.Fields(line); strings.HasPrefix(words[1], "1af4:") {
			virtio = append(virtio, words[0]+" "+words[1]+" "+words[3])
		}
	}
	want := strings.Join([]string{
		"0000:00:0a.0 1af4:1002 virtio-pci", // balloon
		"0000:00:0c.0 1af4:1005 virtio-pci", // entropy
		"0000:00:10.0 1af4:1001 virtio-pci", // disks
		"0000:00:10.5 1af4:1001 virtio-pci",
		"0000:00:1f.0 1af4:1003 virtio-pci", // serial
	}, "\n")
	if got := strings.Join(virtio, "\n"); got != want {
		m.t.Errorf("the virtio devices are\n%s\nwant\n%s", got, want)
	}
	if got := m.ask("cat /sys/bus/pci/devices/0000:00:10.5/virtio3/block/vdb/size"); got != strconv.Itoa(2*mib/512) {
		m.t.Errorf("the disk at 10.5 has %s sectors, not those of vdb", got)
	}
}

// checkEntropy reads from the entropy device.
func (m *machine) checkEntropy() {
	const length = 64
	m.t.Helper()
	if got := m.ask("cat /sys/class/misc/hw_random/rng_current"); !strings.HasPrefix(got, "virtio_rng") {
		m.t.Errorf("/dev/hwrng is %q", got)
	}
	first, second := m.ask("random /dev/hwrng %d", length), m.ask("random /dev/hwrng %d", length)
	if first == second || strings.Count(first, "00") > length/4 {
		m.t.Errorf("/dev/hwrng gives %s, then %s", first, second)
	}
}
