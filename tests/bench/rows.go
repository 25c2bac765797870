package main

import (
	"fmt"
	"regexp"
	"slices"
)

// vmm is one of those that are compared.
type vmm string

const (
	govmm       vmm = "govmm"
	qemuPC      vmm = "QEMU pc"
	qemuMicroVM vmm = "QEMU microvm"
	gokvm       vmm = "gokvm"

	govmmLibrary vmm = "govmm as a library" // machines in one process
)

// silent reports whether a VMM's guest hears nothing on its console. gokvm takes
// input from a terminal only, and its serial port raises no interrupt for it.
func (v vmm) silent() bool { return v == gokvm }

// place is where a row is measured.
type place string

const (
	placeHere    place = "here"
	placeCounted place = "counted" // a test host whose time counts instructions
	placeHost    place = "host"    // a test host with the usual time
)

func places() []place { return []place{placeHere, placeCounted, placeHost} }

func (p place) title() string {
	return map[place]string{
		placeHere:    "On this machine's own KVM",
		placeCounted: "On a test host whose time counts instructions",
		placeHost:    "On a test host with two processors",
	}[p]
}

// row is a line of the report for each peer.
type row struct {
	Name       string // group/what
	Title      string
	Unit       string
	More       bool // is better
	Normalised bool // by the cost of an exit in the same round
}

// group is what is measured together.
type group struct {
	name    string
	place   place
	vmms    []vmm // govmm first
	rows    []row
	measure func(*session) error
}

// diskMode is a cache and io mode of a disk.
type diskMode struct{ cache, io string }

func (m diskMode) name() string { return m.cache + "-" + m.io }

func diskModes() []diskMode {
	return []diskMode{{"writeback", "threads"}, {"none", "native"}, {"none", "threads"}, {"writethrough", "threads"}}
}

// groups are all there is to measure, in the order of the report.
func groups() []group {
	all := []group{
		{"first", placeHere, []vmm{govmm, qemuPC, qemuMicroVM, gokvm}, []row{
			{"first/instruction", "process start to the first instruction", "ms", false, false},
		}, measureFirst},
		{"exit-here", placeHere, []vmm{govmm, qemuPC}, []row{
			{"exit-here/port", "a write to an unused port", "ns", false, false},
			{"exit-here/memory", "a write to unused memory space", "ns", false, false},
		}, measureExits},
		interruptGroup("irq-here", placeHere),
		manyGroup(),
		{"boot", placeCounted, []vmm{govmm, qemuPC, qemuMicroVM, gokvm}, []row{
			{"boot/init", "process start to the guest's init", "ms", false, false},
			{"boot/user", "of this, processor time in the VMM's own code", "ms", false, false},
			{"boot/system", "of this, processor time in the host's kernel for it", "ms", false, false},
			{"boot/cpuid", "an exit that the kernel answers (CPUID)", "ns", false, false},
		}, measureBoot},
		{"exit", placeCounted, []vmm{govmm, qemuPC}, []row{
			{"exit/port", "a write to an unused port", "ns", false, false},
			{"exit/memory", "a write to unused memory space", "ns", false, false},
		}, measureExits},
		interruptGroup("irq", placeCounted),
		{"idle", placeHost, []vmm{govmm, qemuPC, qemuMicroVM, gokvm}, []row{
			{"idle/memory", "private memory apart from the guest's RAM, 1 disk, 1 NIC", "MiB", false, false},
			{"idle/cpu", "processor time of an idle machine", "ms/s", false, false},
			{"idle/switches", "context switches of an idle machine", "1/s", false, false},
		}, measureIdle},
	}
	for _, mode := range diskModes() {
		all = append(all, tinyDiskGroup(mode), diskGroup(mode))
	}
	all = append(all, tinyNetworkGroup())
	for _, driver := range []string{"user", "vhost"} {
		all = append(all, networkGroup(driver))
	}
	return all
}

func interruptGroup(name string, p place) group {
	return group{name, p, []vmm{govmm, qemuPC}, []row{
		{name + "/raised", "a register write that raises an interrupt, to the handler", "ns", false, false},
		{name + "/timer", "how late the PIT wakes a halted guest", "ns", false, false},
	}, measureInterrupts}
}

func manyGroup() group {
	g := group{name: "many", place: placeHere, vmms: []vmm{govmm, govmmLibrary, qemuMicroVM}, measure: measureMany}
	for _, n := range counts() {
		g.rows = append(g.rows, row{fmt.Sprintf("many/start-%d", n), fmt.Sprintf("start of machine %d to its first instruction", n), "ms", false, false})
	}
	for _, n := range counts() {
		g.rows = append(g.rows, row{fmt.Sprintf("many/memory-%d", n), fmt.Sprintf("memory (PSS) of %d, apart from their RAM", n), "MiB", false, false})
	}
	return g
}

func diskGroup(mode diskMode) group {
	name := "disk-" + mode.name()
	g := group{name: name, place: placeHost, vmms: []vmm{govmm, qemuPC},
		measure: func(s *session) error { return measureDisk(s, mode) }}
	for _, l := range diskLoads() {
		title := fmt.Sprintf("%s, cache=%s io=%s", l.title, mode.cache, mode.io)
		g.rows = append(g.rows, row{name + "/" + l.name, title, l.unit, true, true})
	}
	return g
}

func tinyDiskGroup(mode diskMode) group {
	name := "disk-here-" + mode.name()
	with := fmt.Sprintf("tiny kernel, cache=%s io=%s", mode.cache, mode.io)
	return tinyGroup(name, with, tinyDiskLoads(), func(s *session) error { return measureTinyDisk(s, mode) })
}

func tinyNetworkGroup() group {
	return tinyGroup("net-here", "tiny kernel, tap in user space", tinyNetworkLoads(), measureTinyNetwork)
}

func tinyGroup(name, with string, loads []tinyLoad, measure func(*session) error) group {
	g := group{name: name, place: placeHere, vmms: []vmm{govmm, qemuPC}, measure: measure}
	for _, l := range loads {
		g.rows = append(g.rows, row{name + "/" + l.name, l.title + ", " + with, l.unit, l.unit != "us", false})
	}
	return g
}

func networkGroup(driver string) group {
	name, with := "net-"+driver, "in user space"
	if driver == "vhost" {
		with = "by vhost-net"
	}
	return group{name: name, place: placeHost, vmms: []vmm{govmm, qemuPC}, rows: []row{
		{name + "/send", "TCP from the guest, tap " + with, "MB/s", true, true},
		{name + "/receive", "TCP to the guest, tap " + with, "MB/s", true, true},
		{name + "/echo", "TCP round trip, tap " + with, "us", false, true},
	}, measure: func(s *session) error { return measureNetwork(s, driver == "vhost") }}
}

// choose returns the groups of which the pattern matches a row's name, with
// those rows.
func choose(all []group, pattern *regexp.Regexp) []group {
	var chosen []group
	for _, g := range all {
		g.rows = slices.DeleteFunc(slices.Clone(g.rows), func(r row) bool { return !pattern.MatchString(r.Name) })
		if len(g.rows) > 0 {
			chosen = append(chosen, g)
		}
	}
	return chosen
}
