package domcfg

// CPU is the element cpu: what the guest's CPUs must be.
type CPU struct {
	Elem
	Match    string // minimum, exact or strict
	Mode     string // newer than the document: custom, host-model, host-passthrough or maximum
	Model    string // a name of libvirt's cpu_map
	Vendor   string // of the host: Intel, AMD or Hygon
	Topology *Topology
	Features []*CPUFeature
}

// Topology is how the virtual CPUs are arranged.
type Topology struct {
	Elem
	Sockets uint
	Cores   uint // of a socket
	Threads uint // of a core
}

// CPUFeature asks for a CPU feature or for its absence.
type CPUFeature struct {
	Elem
	Policy string // force, require, optional, disable or forbid
	Name   string // a feature's name of libvirt's cpu_map
}

func (p *CPU) code(c *coder) {
	enum(c.attr("mode"), &p.Mode, "custom", "host-model", "host-passthrough", "maximum")
	enum(c.attr("match"), &p.Match, "minimum", "exact", "strict")
	c.leaf("model").str(&p.Model)
	enum(c.leaf("vendor"), &p.Vendor, "Intel", "AMD", "Hygon")
	child(c, "topology", &p.Topology)
	children(c, "feature", &p.Features)
}

func (t *Topology) code(c *coder) {
	number(c.attr("sockets").required(), &t.Sockets, 1, 65535)
	number(c.attr("cores").required(), &t.Cores, 1, 65535)
	number(c.attr("threads").required(), &t.Threads, 1, 65535)
}

func (f *CPUFeature) code(c *coder) {
	enum(c.attr("policy"), &f.Policy, "force", "require", "optional", "disable", "forbid")
	c.attr("name").required().str(&f.Name)
}
