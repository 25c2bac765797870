package domcfg

import (
	"errors"
	"io"
)

// A Domain is one virtual machine's configuration: the whole of a domain XML file.
//
// Fields that are empty, zero or nil were not given. SetDefaults fills in what libvirt would.
type Domain struct {
	Elem

	Type DomainType
	ID   *uint // of a running domain; has no effect

	Name        string
	UUID        UUID
	Title       string // newer than the document, without effect
	Description string

	Memory        KiB // maximum at boot
	CurrentMemory KiB // what the guest is left with by the balloon
	MemoryBacking *MemoryBacking
	BlkioTune     *BlkioTune
	MemTune       *MemTune
	VCPU          VCPU
	CPUTune       *CPUTune

	Bootloader     string // path of a program of the host that finds kernel and initrd in the first hard disk
	BootloaderArgs string // its arguments, before the disk's path

	OS       *OS
	SysInfo  *SysInfo
	Features *Features
	CPU      *CPU
	Clock    *Clock

	OnPoweroff Action
	OnReboot   Action
	OnCrash    Action

	Devices Devices
}

// DomainType is the hypervisor that a domain is for.
type DomainType string

// The values of DomainType that the document names.
const (
	TypeKVM   DomainType = "kvm"
	TypeQEMU  DomainType = "qemu"
	TypeXen   DomainType = "xen"
	TypeLXC   DomainType = "lxc"
	TypeKQEMU DomainType = "kqemu"
)

// Action is what to do when a guest powers off, reboots or crashes.
type Action string

// The values of Action. The two that dump a core are for OnCrash alone.
const (
	ActionDestroy         Action = "destroy"
	ActionRestart         Action = "restart"
	ActionPreserve        Action = "preserve"
	ActionRenameRestart   Action = "rename-restart"
	ActionCoredumpDestroy Action = "coredump-destroy"
	ActionCoredumpRestart Action = "coredump-restart"
)

func (d *Domain) code(c *coder) {
	// Types beyond the document's are other drivers of libvirt.
	enum(c.attr("type").required(), &d.Type, TypeXen, TypeKVM, TypeQEMU, TypeLXC, TypeKQEMU,
		"uml", "openvz", "test", "vmware", "hyperv", "vbox", "phyp", "vz", "parallels", "bhyve", "hvf")
	optional(c.attr("id"), &d.ID, 0, 1<<31-1)

	c.leaf("name").required().str(&d.Name)
	value(c.leaf("uuid"), &d.UUID, ParseUUID, UUID.String)
	c.leaf("title").str(&d.Title)
	c.leaf("description").str(&d.Description)

	c.kib("memory", &d.Memory)
	c.kib("currentMemory", &d.CurrentMemory)
	child(c, "memoryBacking", &d.MemoryBacking)
	child(c, "blkiotune", &d.BlkioTune)
	child(c, "memtune", &d.MemTune)
	c.group("vcpu", d.VCPU.code)
	child(c, "cputune", &d.CPUTune)

	c.leaf("bootloader").str(&d.Bootloader)
	c.leaf("bootloader_args").str(&d.BootloaderArgs)

	child(c, "os", &d.OS)
	child(c, "sysinfo", &d.SysInfo)
	child(c, "features", &d.Features)
	child(c, "cpu", &d.CPU)
	child(c, "clock", &d.Clock)

	crash := []Action{ActionDestroy, ActionRestart, ActionPreserve, ActionRenameRestart,
		ActionCoredumpDestroy, ActionCoredumpRestart}
	others := crash[:4]
	enum(c.leaf("on_poweroff"), &d.OnPoweroff, others...)
	enum(c.leaf("on_reboot"), &d.OnReboot, others...)
	enum(c.leaf("on_crash"), &d.OnCrash, crash...)

	c.group("devices", func(c *coder) { d.Devices.code(c) })
}

// Parse reads a domain from r. Name is the file's name in messages.
//
// An error is of type Errors and holds every fault of the file, or is the reader's own where
// reading failed. The warnings tell what was accepted without effect; they are there as well when
// an error is returned.
//
// Nothing is filled in that was not written: SetDefaults and AssignAddresses do that.
func Parse(name string, r io.Reader) (*Domain, []Warning, error) {
	root, err := readTree(name, r)
	if err != nil {
		if malformed, ok := errors.AsType[*Error](err); ok {
			return nil, nil, Errors{malformed}
		}
		return nil, nil, err
	}
	d, found := check(root)
	found.sort()
	if err := found.err(); err != nil {
		return nil, found.warnings, err
	}
	found.warnings = append(found.warnings, notices(d)...)
	found.sort()
	return d, found.warnings, nil
}

// Validate makes all the checks of Parse on a domain that was built or changed by a program. The
// error is of type Errors; elements that were read from a file keep their positions.
func (d *Domain) Validate() error {
	_, found := check(d.tree())
	found.sort()
	return found.err()
}

// Format writes the domain as canonical XML: elements in the document's order, amounts of memory
// in KiB, UUIDs with dashes, no comments. Parsing it gives the same domain again. The error is
// the writer's, or that a string holds a character that XML cannot.
func (d *Domain) Format(w io.Writer) error {
	return writeTree(w, d.tree())
}

// check reads a domain from its tree and cross-checks it.
func check(root *node) (*Domain, *reports) {
	found := &reports{}
	d := &Domain{}
	if root.name != "domain" {
		found.errorf(root.pos(), "", "the root element is <%s>, not <domain>", clip(root.name))
		return d, found
	}
	c := &coder{session: &session{reports: found}, reading: true}
	c.decode(root, d)
	v := &validator{reports: found, d: d}
	v.run()
	return d, found
}

// tree returns the domain as XML elements that know where they were read.
func (d *Domain) tree() *node {
	top := &coder{session: &session{reports: &reports{}}, n: &node{}}
	top.encode("domain", d)
	root := top.n.children[0]
	root.parent = nil
	numberAll(root)
	return root
}

func numberAll(n *node) {
	n.number()
	for _, c := range n.children {
		numberAll(c)
	}
}
