package main

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// machine is a machine that every VMM can make.
type machine struct {
	memory  int // MiB
	kernel  string
	initrd  string // none if empty
	cmdline string
	tiny    bool // the kernel leaves by the debug exit port
	stays   bool // it does not, although it is tiny; there may be others like it
	here    bool // on this machine's own KVM
	disk    *disk
	nic     *nic
}

type disk struct {
	file string
	mode diskMode
}

// nic is a network interface at a tap, which the VMM makes unless it exists.
type nic struct {
	tap    string
	mac    string
	vhost  bool
	exists bool
}

// command is a command line. XML is the domain file that %XML% in it stands
// for.
type command struct {
	Args []string
	XML  string
}

const xmlPlaceholder = "%XML%"

// programs are the paths of the VMMs.
type programs struct{ Govmm, QEMU, Gokvm string }

func (m machine) command(v vmm, p programs) command {
	switch v {
	case govmm:
		args := []string{p.Govmm, "run"}
		switch {
		case m.stays:
			args = append(args, "--no-control")
		case m.tiny:
			args = append(args, "--debug-exit")
		}
		return command{append(args, xmlPlaceholder), m.xml()}
	case gokvm:
		return command{append([]string{p.Gokvm}, m.gokvm()...), ""}
	}
	return command{append([]string{p.QEMU}, m.qemu(v)...), ""}
}

func (m machine) xml() string {
	var b strings.Builder
	e := html.EscapeString
	fmt.Fprintf(&b, "<domain type='kvm'>\n  <name>bench</name>\n  <memory unit='MiB'>%d</memory>\n  <vcpu>1</vcpu>\n", m.memory)
	fmt.Fprintf(&b, "  <os>\n    <type arch='x86_64' machine='pc'>hvm</type>\n    <kernel>%s</kernel>\n", e(m.kernel))
	if m.initrd != "" {
		fmt.Fprintf(&b, "    <initrd>%s</initrd>\n", e(m.initrd))
	}
	fmt.Fprintf(&b, "    <cmdline>%s</cmdline>\n  </os>\n  <features><acpi/><apic/></features>\n", e(m.cmdline))
	b.WriteString("  <devices>\n    <serial type='stdio'/>\n    <memballoon model='none'/>\n")
	if d := m.disk; d != nil {
		fmt.Fprintf(&b, "    <disk type='file'>\n      <driver name='qemu' type='raw' cache='%s' io='%s'/>\n", d.mode.cache, d.mode.io)
		fmt.Fprintf(&b, "      <source file='%s'/>\n      <target dev='vda' bus='virtio'/>\n    </disk>\n", e(d.file))
	}
	if n := m.nic; n != nil {
		driver, managed := "qemu", ""
		if n.vhost {
			driver = "vhost"
		}
		if n.exists {
			managed = " managed='no'"
		}
		fmt.Fprintf(&b, "    <interface type='ethernet'>\n      <mac address='%s'/>\n      <script path=''/>\n", n.mac)
		fmt.Fprintf(&b, "      <target dev='%s'%s/>\n      <model type='virtio'/>\n      <driver name='%s'/>\n    </interface>\n", n.tap, managed, driver)
	}
	b.WriteString("  </devices>\n</domain>\n")
	return b.String()
}

// qemu are QEMU's arguments for the same machine.
func (m machine) qemu(v vmm) []string {
	kind, transport, cpu := "pc", "pci", "host"
	if v == qemuMicroVM {
		kind, transport = "microvm,isa-serial=on", "device"
	}
	if m.here {
		cpu += ",-arch-capabilities" // QEMU aborts where KVM cannot set that MSR
	}
	args := []string{
		"-M", kind, "-accel", "kvm", "-cpu", cpu, "-smp", "1", "-m", strconv.Itoa(m.memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", m.kernel, "-append", m.cmdline,
	}
	if v == qemuPC {
		// Patching the guest's task priority accesses goes wrong where SVM is
		// emulated.
		args = append(args, "-global", "kvm-apic.vapic=off")
	}
	if m.initrd != "" {
		args = append(args, "-initrd", m.initrd)
	}
	if m.tiny && !m.stays {
		args = append(args, "-device", "isa-debug-exit,iobase=0xf4,iosize=4")
	}
	if d := m.disk; d != nil {
		args = append(args,
			"-drive", fmt.Sprintf("if=none,id=disk,format=raw,file=%s,cache=%s,aio=%s", escape(d.file), d.mode.cache, d.mode.io),
			"-device", "virtio-blk-"+transport+",drive=disk")
	}
	if n := m.nic; n != nil {
		vhost := "off"
		if n.vhost {
			vhost = "on"
		}
		args = append(args,
			"-netdev", "tap,id=net,ifname="+n.tap+",script=no,downscript=no,vhost="+vhost,
			"-device", "virtio-net-"+transport+",netdev=net,mac="+n.mac)
	}
	return args
}

// gokvm are gokvm's arguments. Its disk has no cache mode: it syncs after each
// request.
func (m machine) gokvm() []string {
	initrd := m.initrd
	if initrd == "" {
		initrd = m.kernel // it does not start without one
	}
	args := []string{"boot", "-m", strconv.Itoa(m.memory) + "M", "-k", m.kernel, "-i", initrd, "-p", m.cmdline}
	if m.disk != nil {
		args = append(args, "-d", m.disk.file)
	}
	if m.nic != nil {
		args = append(args, "-t", m.nic.tap)
	}
	return args
}

// escape writes a value for a QEMU option list, where a comma is doubled.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }

// String is the command line for a shell, the domain file as a here-document.
func (c command) String() string {
	words := make([]string, len(c.Args))
	for i, a := range c.Args {
		switch {
		case a == xmlPlaceholder:
			a = "bench.xml"
		case strings.ContainsAny(a, " '\"$;&|<>*?()"):
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words[i] = a
	}
	line := strings.Join(words, " ")
	if c.XML == "" {
		return line
	}
	return "cat >bench.xml <<'EOF'\n" + c.XML + "EOF\n" + line
}
