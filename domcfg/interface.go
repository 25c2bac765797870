package domcfg

// InterfaceType is what a network interface is attached to on the host.
type InterfaceType string

// The values of InterfaceType.
const (
	InterfaceNetwork  InterfaceType = "network"
	InterfaceBridge   InterfaceType = "bridge"
	InterfaceUser     InterfaceType = "user"
	InterfaceEthernet InterfaceType = "ethernet"
	InterfaceDirect   InterfaceType = "direct"
	InterfaceMcast    InterfaceType = "mcast"
	InterfaceServer   InterfaceType = "server"
	InterfaceClient   InterfaceType = "client"
)

// Interface is an element interface: a NIC.
type Interface struct {
	DeviceInfo
	Type        InterfaceType
	MAC         MAC
	Source      InterfaceSource
	VirtualPort *VirtualPort // direct
	Script      string       // ethernet: path
	TargetDev   string       // name of the host's tap or macvtap
	Model       string
	Driver      *InterfaceDriver
	BootOrder   uint
}

// InterfaceSource is the element source within interface. Which fields count depends on the type.
type InterfaceSource struct {
	Network string // network
	Bridge  string // bridge
	Dev     string // direct: host interface
	Mode    string // direct: vepa, bridge or private; newer: passthrough
	Address string // mcast, server and client
	Port    uint16
}

// VirtualPort is the element virtualport within interface.
type VirtualPort struct {
	Elem
	Type          string // 802.1Qbg; newer: 802.1Qbh, openvswitch, midonet
	ManagerID     uint8  // 1 to 255
	TypeID        *uint32
	TypeIDVersion *uint8
	InstanceID    UUID
}

// InterfaceDriver is the element driver within interface.
type InterfaceDriver struct {
	Elem
	Name   string // qemu or vhost
	TXMode string // iothread or timer
}

func (i *Interface) code(c *coder) {
	enum(c.attr("type").required(), &i.Type, InterfaceNetwork, InterfaceBridge, InterfaceUser, InterfaceEthernet,
		InterfaceDirect, InterfaceMcast, InterfaceServer, InterfaceClient,
		"internal", "hostdev", "udp", "vhostuser", "vdpa", "null", "vds")
	c.group("mac", func(c *coder) { value(c.attr("address"), &i.MAC, ParseMAC, MAC.String) })
	c.group("source", func(c *coder) {
		s := &i.Source
		c.attr("network").str(&s.Network)
		c.attr("bridge").str(&s.Bridge)
		c.attr("dev").str(&s.Dev)
		enum(c.attr("mode"), &s.Mode, "vepa", "bridge", "private", "passthrough")
		c.attr("address").str(&s.Address)
		number(c.attr("port"), &s.Port, 1, 65535)
	})
	child(c, "virtualport", &i.VirtualPort)
	c.group("script", func(c *coder) { c.attr("path").str(&i.Script) })
	c.group("target", func(c *coder) { c.attr("dev").str(&i.TargetDev) })
	c.group("model", func(c *coder) { c.attr("type").str(&i.Model) })
	child(c, "driver", &i.Driver)
	codeBoot(c, &i.BootOrder)
	i.codeInfo(c)
}

func (v *VirtualPort) code(c *coder) {
	enum(c.attr("type"), &v.Type, "802.1Qbg", "802.1Qbh", "openvswitch", "midonet")
	c.group("parameters", func(c *coder) {
		number(c.attr("managerid"), &v.ManagerID, 1, 255)
		optional(c.attr("typeid"), &v.TypeID, 0, 1<<24-1)
		optional(c.attr("typeidversion"), &v.TypeIDVersion, 0, 255)
		value(c.attr("instanceid"), &v.InstanceID, ParseUUID, UUID.String)
	})
}

func (r *InterfaceDriver) code(c *coder) {
	enum(c.attr("name"), &r.Name, "qemu", "vhost")
	enum(c.attr("txmode"), &r.TXMode, "iothread", "timer")
}
