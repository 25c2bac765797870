package main

import (
	"strings"
	"testing"

	"github.com/govmm/govmm/domcfg"
)

func sampleMachine() machine {
	return machine{memory: 256, kernel: "/k&1", initrd: "/i", cmdline: "quiet 'x'",
		disk: &disk{"/d,1", diskMode{"none", "native"}}, nic: &nic{tap: "tap7", mac: "52:54:00:00:00:01", vhost: true}}
}

// The domain is one that govmm runs without a word.
func TestDomain(t *testing.T) {
	for _, m := range []machine{sampleMachine(), {memory: 128, kernel: "/k", tiny: true}} {
		c := m.command(govmm, programs{Govmm: "/g", QEMU: "/q"})
		d, warnings, err := domcfg.Parse("bench.xml", strings.NewReader(c.XML))
		if err != nil {
			t.Fatalf("%v\n%s", err, c.XML)
		}
		for _, w := range warnings {
			t.Errorf("%s\nwarns: %v", c.XML, w)
		}
		for _, r := range domcfg.Unsupported(d) {
			t.Errorf("%s\nis refused: %v", c.XML, r)
		}
	}
}

func TestCommand(t *testing.T) {
	p := programs{Govmm: "/g", QEMU: "/q"}
	text := sampleMachine().command(govmm, p).String()
	for _, want := range []string{"cat >bench.xml <<'EOF'\n<domain", "EOF\n/g run bench.xml", "/k&amp;1", "cache='none' io='native'", "<driver name='vhost'/>"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	text = sampleMachine().command(qemuPC, p).String()
	for _, want := range []string{
		"/q -M pc -accel kvm -cpu host -smp 1 -m 256 ", `'quiet '\''x'\'''`, "file=/d,,1,cache=none,aio=native",
		"virtio-blk-pci,", "ifname=tap7,script=no,downscript=no,vhost=on", "kvm-apic.vapic=off",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	text = sampleMachine().command(gokvm, programs{Gokvm: "/go"}).String()
	if want := `/go boot -m 256M -k '/k&1' -i /i -p 'quiet '\''x'\''' -d /d,1 -t tap7`; text != want {
		t.Errorf("%s, want %s", text, want)
	}
	micro := machine{memory: 1, kernel: "/k", tiny: true, here: true}.command(qemuMicroVM, p).String()
	if !strings.Contains(micro, "-M microvm") || !strings.Contains(micro, "-arch-capabilities") || strings.Contains(micro, "vapic") {
		t.Error(micro)
	}
}
