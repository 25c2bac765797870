package domcfg

import (
	"path"
	"strings"
)

// A validator checks what no single value shows: how the parts of a domain fit together. What a
// single value can show is checked where the value is read.
type validator struct {
	*reports
	d *Domain
}

func (v *validator) run() {
	v.general()
	v.boot()
	v.bootloader()
	v.sysinfo()
	v.resources()
	v.cpu()
	v.clock()
	v.bootClasses()
	v.bootOrders()
	v.disks()
	v.filesystems()
	v.controllers()
	v.hostdevs()
	v.smartcards()
	v.interfaces()
	v.display()
	v.serials()
	v.consoles()
	v.stdio()
	v.channels()
	v.singles()
	v.rngs()
	v.addressTypes()
	v.pciAddresses()
}

// fail reports a fault of an element, or of what stands within it: where is "@attr", "child" or
// "child@attr", or empty for the element itself.
func (v *validator) fail(e *Elem, where, format string, args ...any) {
	pos, path := e.locate(where)
	v.errorf(pos, path, format, args...)
}

// locate returns position and path of something within an element.
func (e *Elem) locate(where string) (Pos, string) {
	n := e.src
	if n == nil {
		return Pos{}, ""
	}
	way, attr, isAttr := strings.Cut(where, "@")
	for step := range strings.SplitSeq(way, "/") {
		if c := n.child(step); c != nil {
			n = c
		}
	}
	if isAttr {
		return n.attrPos(attr), n.path()
	}
	return n.pos(), n.path()
}

// line names where an element stands, for the message about another one.
func (e *Elem) line() int { return e.Pos().Line }

func (v *validator) general() {
	d := v.d
	switch {
	case strings.Contains(d.Name, "/"):
		v.fail(&d.Elem, "name", "%q has a slash in it, which a name must not", clip(d.Name))
	case strings.ContainsAny(d.Name, "\n\x00"):
		v.fail(&d.Elem, "name", "%q has a line break in it, which a name must not", clip(d.Name))
	}
	if d.OS == nil {
		v.fail(&d.Elem, "", "element <os> is missing")
	}
	v.absolute(&d.Elem, "devices/emulator", d.Devices.Emulator)
}

// absolute reports a host path that depends on where the program was started.
func (v *validator) absolute(e *Elem, where, file string) {
	if file != "" && !path.IsAbs(file) {
		v.fail(e, where, "%q is not an absolute path", clip(file))
	}
}

func (v *validator) resources() {
	d := v.d
	if n := d.src.child("memory"); n == nil {
		v.fail(&d.Elem, "", "element <memory> is missing")
	} else if text := strings.TrimSpace(n.text); text != "" && strings.Trim(text, "0") == "" {
		v.fail(&d.Elem, "memory", "%q is not enough: a domain needs memory", text)
	}
	if m := d.MemTune; m != nil && m.SwapHardLimit != 0 && m.HardLimit != 0 && m.SwapHardLimit <= m.HardLimit {
		v.fail(&m.Elem, "swap_hard_limit", "%s must be more than <hard_limit>, which is %s", m.SwapHardLimit, m.HardLimit)
	}
	if d.VCPU.Count != 0 && d.VCPU.Current > d.VCPU.Count {
		v.fail(&d.Elem, "vcpu@current", `current="%d" is more than the %d CPUs of the domain`, d.VCPU.Current, d.VCPU.Count)
	}
	if d.CPUTune == nil {
		return
	}
	pinned := make(map[uint]*VCPUPin)
	for _, p := range d.CPUTune.Pins {
		if p.VCPU == nil {
			continue
		}
		if first := pinned[*p.VCPU]; first != nil {
			v.fail(&p.Elem, "@vcpu", `vcpu="%d" is pinned twice, first in line %d`, *p.VCPU, first.line())
			continue
		}
		pinned[*p.VCPU] = p
	}
}

func (v *validator) cpu() {
	p := v.d.CPU
	if p == nil {
		return
	}
	model := strings.TrimSpace(p.Model)
	hosts := p.Mode != "" && p.Mode != "custom" // the host's own model stands for one
	if model != "" && !IsCPUModel(model) {
		v.fail(&p.Elem, "model", "%q is not a CPU model of libvirt's cpu_map", clip(p.Model))
	}
	if p.Vendor != "" && model == "" && !hosts {
		v.fail(&p.Elem, "vendor", "a vendor needs a <model> beside it")
	}
	named := make(map[string]*CPUFeature)
	for _, f := range p.Features {
		switch first := named[f.Name]; {
		case f.Name == "": // reported where it was read
		case !IsCPUFeature(f.Name):
			v.fail(&f.Elem, "@name", "name=%q is not a CPU feature of libvirt's cpu_map", clip(f.Name))
		case first != nil:
			v.fail(&f.Elem, "@name", "name=%q stands twice, first in line %d", f.Name, first.line())
		case model == "" && !hosts:
			v.fail(&f.Elem, "", "a feature needs a <model> beside it")
		}
		if named[f.Name] == nil {
			named[f.Name] = f
		}
	}
	v.topology(p.Topology)
}

func (v *validator) topology(t *Topology) {
	if t == nil || t.Sockets == 0 || t.Cores == 0 || t.Threads == 0 {
		return
	}
	cpus := max(v.d.VCPU.Count, 1)
	if total := uint64(t.Sockets) * uint64(t.Cores) * uint64(t.Threads); total < uint64(cpus) {
		v.fail(&t.Elem, "", "%d sockets of %d cores with %d threads have fewer CPUs than <vcpu>, which is %d",
			t.Sockets, t.Cores, t.Threads, cpus)
	}
}

func (v *validator) clock() {
	k := v.d.Clock
	if k == nil {
		return
	}
	if k.Offset == ClockTimezone && k.Timezone == "" {
		v.fail(&k.Elem, "", `offset="timezone" needs the attribute timezone`)
	}
	if k.Adjustment != 0 && k.Offset != ClockVariable {
		v.fail(&k.Elem, "@adjustment", `adjustment is only for offset="variable"`)
	}
	named := make(map[string]*Timer)
	for _, t := range k.Timers {
		if t.Name == "" {
			continue
		}
		if first := named[t.Name]; first != nil {
			v.fail(&t.Elem, "@name", "timer %q stands twice, first in line %d", t.Name, first.line())
		} else {
			named[t.Name] = t
		}
		if t.Track != "" && t.Name != "rtc" && t.Name != "platform" {
			v.fail(&t.Elem, "@track", `track is only for the timers rtc and platform, not %s`, t.Name)
		}
		if t.Frequency != 0 && t.Name != "tsc" {
			v.fail(&t.Elem, "@frequency", `frequency is only for the timer tsc, not %s`, t.Name)
		}
		if t.Mode != "" && t.Name != "tsc" {
			v.fail(&t.Elem, "@mode", `mode is only for the timer tsc, not %s`, t.Name)
		}
		if t.Catchup != nil && t.TickPolicy != "catchup" {
			v.fail(&t.Catchup.Elem, "", `<catchup> needs tickpolicy="catchup"`)
		}
	}
}

// singles checks the devices of which there can only be one.
func (v *validator) singles() {
	for i, w := range v.d.Devices.Watchdogs {
		if i > 0 {
			v.fail(&w.Elem, "", "a domain can have only one watchdog")
		}
	}
	for i, b := range v.d.Devices.MemBalloons {
		if i > 0 {
			v.fail(&b.Elem, "", "a domain can have only one memory balloon")
		}
	}
	for _, i := range v.d.Devices.Inputs {
		if i.Type == "tablet" && i.Bus == "ps2" {
			v.fail(&i.Elem, "@bus", `a tablet cannot be on bus="ps2", which has only a mouse; usb is its bus`)
		}
	}
}
