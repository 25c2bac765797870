package kvm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "kvm")
	plain := filepath.Join(dir, "plain")
	must(t, os.WriteFile(plain, nil, 0o600))
	// A device number of the experimental range, which no driver has.
	dead := filepath.Join(dir, "dead")
	must(t, unix.Mknod(dead, unix.S_IFCHR|0o600, int(unix.Mkdev(60, 0))))

	tests := []struct {
		name, path string
		is         error
		says       string
	}{
		{"missing", missing, fs.ErrNotExist, "kvm_intel or kvm_amd"},
		{"not a device", plain, unix.ENOTTY, "not a KVM device"},
		{"no driver", dead, unix.ENXIO, "no kvm module"},
		{"another device", "/dev/null", unix.ENOTTY, "not a KVM device"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Open(tt.path)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			if !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if msg := err.Error(); !strings.Contains(msg, tt.path) || !strings.Contains(msg, tt.says) {
				t.Errorf("%q does not name %s and say %q", msg, tt.path, tt.says)
			}
		})
	}
	err := openError(DefaultPath, unix.EACCES)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "group") {
		t.Errorf("permission: %v", err)
	}
}

func TestSystem(t *testing.T) {
	s := openSystem(t)
	if s.VCPUMmapSize() < 4096 {
		t.Errorf("VCPUMmapSize = %d", s.VCPUMmapSize())
	}
	for _, c := range RequiredCaps() {
		if s.CheckExtension(c) == 0 {
			t.Errorf("this host lacks %s", c)
		}
	}
	if got := s.CheckExtension(0xffff); got != 0 {
		t.Errorf("a capability that does not exist: %d", got)
	}
	rec, most, ids := s.RecommendedVCPUs(), s.MaxVCPUs(), s.MaxVCPUID()
	if rec < 1 || most < rec || ids < most {
		t.Errorf("vCPUs: %d recommended, at most %d, ids below %d", rec, most, ids)
	}
	if n := s.NRMemSlots(); n < 32 {
		t.Errorf("%d memory slots", n)
	}
}

func TestCapNames(t *testing.T) {
	seen := make(map[Cap]bool)
	for _, c := range slices.Concat(RequiredCaps(), OptionalCaps()) {
		if seen[c] {
			t.Errorf("%s is listed twice", c)
		}
		seen[c] = true
		if _, err := strconv.Atoi(strings.TrimPrefix(c.String(), "KVM_CAP_")); err == nil {
			t.Errorf("capability %d has no name", c)
		}
	}
	if got, want := CapIRQFDResample.String(), "KVM_CAP_IRQFD_RESAMPLE"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := Cap(9999).String(), "KVM_CAP_9999"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestExitReasonNames(t *testing.T) {
	for reason, want := range map[ExitReason]string{
		ExitUnknown:       "KVM_EXIT_UNKNOWN",
		ExitIO:            "KVM_EXIT_IO",
		ExitInternalError: "KVM_EXIT_INTERNAL_ERROR",
		ExitSystemEvent:   "KVM_EXIT_SYSTEM_EVENT",
		ExitX86WRMSR:      "KVM_EXIT_X86_WRMSR",
		ExitNotify:        "KVM_EXIT_NOTIFY",
		ExitMemoryFault:   "KVM_EXIT_MEMORY_FAULT",
		ExitTDX:           "KVM_EXIT_TDX",
		1000:              "KVM_EXIT_1000",
	} {
		if got := reason.String(); got != want {
			t.Errorf("reason %d: %s, want %s", uint32(reason), got, want)
		}
	}
}

func TestSupportedCPUID(t *testing.T) {
	s := openSystem(t)
	entries, err := s.SupportedCPUID()
	must(t, err)
	i := slices.IndexFunc(entries, func(e CPUIDEntry) bool { return e.Function == 0 })
	if i < 0 {
		t.Fatal("no leaf 0")
	}
	if entries[i].Eax == 0 || entries[i].Ebx == 0 {
		t.Errorf("leaf 0 is empty: %+v", entries[i])
	}
	if last := entries[len(entries)-1]; last == (CPUIDEntry{}) {
		t.Error("the table ends in an empty entry")
	}
	emulated, err := s.EmulatedCPUID()
	must(t, err)
	if len(emulated) == 0 {
		t.Error("no emulated leaves; KVM always lists leaf 0")
	}
}

func TestVCPUCPUID(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{},
		0x66, 0xb8, 0x00, 0x00, 0x00, 0x40, // mov eax, 0x40000000
		0x0f, 0xa2, // cpuid
		0x66, 0x89, 0xd8, // mov eax, ebx
		0x66, 0xe7, 0x10, // out 0x10, eax
	)
	entries, err := g.sys.SupportedCPUID()
	must(t, err)
	const signature = 0x6d76476f // "oGvm", ours
	i := slices.IndexFunc(entries, func(e CPUIDEntry) bool { return e.Function == 0x40000000 })
	if i < 0 {
		t.Fatal("no hypervisor leaf")
	}
	entries[i].Ebx = signature
	must(t, g.cpu.SetCPUID(entries))
	got, err := g.cpu.CPUID()
	must(t, err)
	if len(got) != len(entries) {
		t.Errorf("set %d entries, got %d", len(entries), len(got))
	}
	g.run(t, ExitIO)
	if io := g.cpu.Exit().IO(); string(io.Data) != "oGvm" {
		t.Errorf("the guest sees signature %q", io.Data)
	}
	if err := g.cpu.SetCPUID(make([]CPUIDEntry, 5000)); !errors.Is(err, unix.E2BIG) {
		t.Errorf("5000 entries: %v, want E2BIG", err)
	}
}

func TestMSRLists(t *testing.T) {
	s := openSystem(t)
	const ia32TSC, ia32SysenterCS = 0x10, 0x174
	list, err := s.MSRIndexList()
	must(t, err)
	for _, msr := range []uint32{ia32TSC, ia32SysenterCS} {
		if !slices.Contains(list, msr) {
			t.Errorf("MSR %#x is not in the index list", msr)
		}
	}
	features, err := s.MSRFeatureIndexList()
	must(t, err)
	if len(features) == 0 {
		t.Fatal("no feature MSRs")
	}
	entry := []MSREntry{{Index: features[0]}}
	if n, err := s.FeatureMSRs(entry); n != 1 || err != nil {
		t.Errorf("feature MSR %#x: %d, %v", features[0], n, err)
	}
}

func TestMCECap(t *testing.T) {
	g := newGuest(t, guestConfig{})
	mcgCap, err := g.sys.MCECap()
	must(t, err)
	banks := g.sys.CheckExtension(CapMCE)
	if banks == 0 {
		t.Fatal("no machine-check banks")
	}
	must(t, g.cpu.SetupMCE(mcgCap|uint64(banks)))
	if err := g.cpu.SetupMCE(mcgCap | 0xff); !errors.Is(err, unix.EINVAL) {
		t.Errorf("255 banks: %v, want EINVAL", err)
	}
}

// TestNothingLeft opens and closes everything, in two orders, and looks for
// descriptors and mappings that stay.
func TestNothingLeft(t *testing.T) {
	everything := func() {
		sys, err := Open("")
		must(t, err)
		vm, err := sys.CreateVM()
		must(t, err)
		must(t, vm.CreateIRQChip())
		cpu, err := vm.CreateVCPU(0)
		must(t, err)
		if _, err := vm.CreateVCPU(0); !errors.Is(err, unix.EEXIST) {
			t.Errorf("the same vCPU again: %v, want EEXIST", err)
		}
		e, err := NewEventFD()
		must(t, err)
		must(t, vm.AssignIRQFD(e.FD(), 5))
		must(t, e.Close())
		must(t, e.Close())
		must(t, sys.Close())
		must(t, vm.Close())
		must(t, cpu.Close())
		must(t, sys.Close())
		must(t, vm.Close())
		must(t, cpu.Close())
		if _, err := vm.CreateVCPU(1); !errors.Is(err, unix.EBADF) {
			t.Errorf("vCPU of a closed VM: %v, want EBADF", err)
		}
	}
	everything() // the runtime's poller opens descriptors of its own once
	before := kvmResources(t)
	everything()
	if after := kvmResources(t); !slices.Equal(before, after) {
		t.Errorf("before %q\nafter %q", before, after)
	}
}

// kvmResources lists the open files, and the mappings that are of KVM.
func kvmResources(t *testing.T) []string {
	var list []string
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && !strings.HasSuffix(target, "/fd") {
			list = append(list, fd.Name()+" "+target)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "kvm") {
			list = append(list, line)
		}
	}
	return list
}

// TestSupportedHyperVCPUID: the leaves begin with the vendor leaf, or the
// kernel says that it has no such ioctl.
func TestSupportedHyperVCPUID(t *testing.T) {
	s := openSystem(t)
	entries, err := s.SupportedHyperVCPUID()
	if s.CheckExtension(CapSysHyperVCPUID) == 0 {
		if !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("without %s: %v, want ENOTTY or EINVAL", CapSysHyperVCPUID, err)
		}
		return
	}
	must(t, err)
	if len(entries) == 0 || entries[0].Function != 0x40000000 {
		t.Errorf("got %+v", entries)
	}
}
