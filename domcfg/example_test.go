package domcfg_test

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/govmm/govmm/domcfg"
)

// A file is read, checked for what this version cannot honour, and completed.
func ExampleParse() {
	domain, warnings, err := domcfg.Parse("vm.xml", strings.NewReader(`<domain type='kvm'>
  <name>tiny</name>
  <memory unit='MiB'>128</memory>
  <os>
    <type>hvm</type>
    <kernel>/boot/vmlinuz</kernel>
    <cmdline>console=ttyS0</cmdline>
  </os>
  <devices>
    <console type='pty'/>
    <tpm model='tpm-tis'/>
  </devices>
</domain>`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range warnings {
		fmt.Println("warning:", w)
	}
	for _, r := range domcfg.Unsupported(domain) {
		fmt.Println("refused:", r)
	}
	if err := domain.SetDefaults(rand.Reader); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(domain.Name, domain.Memory.Bytes()>>20, "MiB,", domain.VCPU.Online(), "CPU,", domain.OS.Kernel)
	for _, s := range domain.Devices.Serials {
		fmt.Println("serial port", *s.Port, "is a", s.Type)
	}
	// Output:
	// refused: vm.xml:11:5: devices/tpm: newer than the format's document, and not honoured
	// tiny 128 MiB, 1 CPU, /boot/vmlinuz
	// serial port 0 is a pty
}

// All faults of a file are reported, each with its place.
func ExampleErrors() {
	_, _, err := domcfg.Parse("vm.xml", strings.NewReader(`<domain type='kvm'>
  <name>tiny</name>
  <memory unit='parsec'>128</memory>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file'>
      <driver cache='foo'/>
    </disk>
  </devices>
</domain>`))
	fmt.Println(err)
	// Output:
	// vm.xml:3:11: memory: unit="parsec" is not a unit of memory: b, bytes, KB, k, KiB, MB, M, MiB, GB, G, GiB, TB, T, TiB, PB, P, PiB, EB, E, EiB
	// vm.xml:6:5: devices/disk: element <target> is missing
	// vm.xml:6:5: devices/disk: element <source> is missing; only a cdrom or floppy can be empty
	// vm.xml:7:15: devices/disk/driver: cache="foo" is not one of default, none, writethrough, writeback, directsync, unsafe
}
