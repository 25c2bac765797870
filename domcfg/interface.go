package domcfg

import "strings"

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
	Script      *string      // ethernet: path, empty to run none; nil for the default
	TargetDev   string       // name of the host's tap or macvtap
	Model       string
	Driver      *InterfaceDriver
	BootOrder   uint // as for disks

	// Newer than the document.
	TargetManaged YesNo  // ethernet: no for a tap that exists; said either way, no script is the default
	LinkState     string // up or down: the cable
	MTU           uint   // bytes, 68 to 65535; 0 for the host's
	ROM           *ROM
	PortForwards  []*PortForward // user
	TrustFilters  YesNo          // direct: whether the host's interface follows the address and filter that the guest sets; yes if absent
}

// IsVirtio reports whether the NIC is a virtio one. Its name's case does not count.
func (i *Interface) IsVirtio() bool { return strings.EqualFold(i.Model, "virtio") }

// nameGivenOut reports whether the name of the host's interface is one that libvirt gives out, and
// ignores where it is written. A tap that exists may have any name.
func (i *Interface) nameGivenOut() bool {
	return reservedIfName(i.TargetDev) && i.TargetManaged != No
}

// runsDefaultScript reports whether the script is the document's default. Who writes managed
// writes for later versions, which have no default.
func (i *Interface) runsDefaultScript() bool {
	return i.Type == InterfaceEthernet && i.Script == nil && i.TargetManaged == ""
}

// OptionROM returns the image that lets the firmware boot from the NIC: its path, empty for the one
// that such a NIC usually has. It is false for a NIC that shall show none.
func (i *Interface) OptionROM() (file string, shown bool) {
	r := i.ROM
	switch {
	case r == nil:
		return "", true
	case r.Enabled == No || r.Bar == Off:
		return "", false
	case r.File == nil:
		return "", true
	}
	return *r.File, *r.File != ""
}

// ROM is the element rom within interface: the NIC's option ROM. It is newer than the document.
type ROM struct {
	Elem
	Enabled YesNo   // no for none
	Bar     OnOff   // off to hide it from the guest
	File    *string // path, empty for none; nil for the usual one
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

	// Newer than the document; for virtio.
	Queues      uint // pairs of queues, 1 to 256; 0 for 1
	RXQueueSize uint // buffers, a power of 2 from 256 to 1024; 0 for 256
	TXQueueSize uint
	Packed      OnOff // offer packed virtqueues, which vhost has not
	Host        *HostOffloads
	Guest       *GuestOffloads
}

// HostOffloads is the element host within an interface's driver: what the guest may leave to the
// host. All are on unless they are turned off.
type HostOffloads struct {
	Elem
	CSum     OnOff // checksums
	GSO      OnOff // segmentation of any kind
	TSO4     OnOff // segmentation of TCP over IPv4
	TSO6     OnOff // and over IPv6
	ECN      OnOff // with congestion notification
	UFO      OnOff // fragmentation of UDP
	MrgRxBuf OnOff // a frame may come in several buffers
}

// GuestOffloads is the element guest within an interface's driver: what the host may leave to the
// guest. All are on unless they are turned off.
type GuestOffloads struct {
	Elem
	CSum, TSO4, TSO6, ECN, UFO OnOff
}

func (i *Interface) code(c *coder) {
	enum(c.attr("type").required(), &i.Type, InterfaceNetwork, InterfaceBridge, InterfaceUser, InterfaceEthernet,
		InterfaceDirect, InterfaceMcast, InterfaceServer, InterfaceClient,
		"internal", "hostdev", "udp", "vhostuser", "vdpa", "null", "vds")
	c.attr("trustGuestRxFilters").yesNo(&i.TrustFilters)
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
	c.group("script", func(c *coder) { c.attr("path").text(&i.Script) })
	c.group("target", func(c *coder) {
		c.attr("dev").str(&i.TargetDev)
		c.attr("managed").yesNo(&i.TargetManaged)
	})
	c.group("model", func(c *coder) { c.attr("type").str(&i.Model) })
	child(c, "driver", &i.Driver)
	codeBoot(c, &i.BootOrder)
	c.group("link", func(c *coder) { enum(c.attr("state"), &i.LinkState, "up", "down") })
	c.group("mtu", func(c *coder) { number(c.attr("size").required(), &i.MTU, 68, 65535) })
	child(c, "rom", &i.ROM)
	children(c, "portForward", &i.PortForwards)
	i.codeInfo(c)
}

func (r *ROM) code(c *coder) {
	c.attr("enabled").yesNo(&r.Enabled)
	c.attr("bar").onOff(&r.Bar)
	c.attr("file").text(&r.File)
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
	number(c.attr("queues"), &r.Queues, 1, maxInterfaceQueues)
	c.attr("packed").onOff(&r.Packed)
	number(c.attr("rx_queue_size"), &r.RXQueueSize, 256, 1024)
	number(c.attr("tx_queue_size"), &r.TXQueueSize, 256, 1024)
	child(c, "host", &r.Host)
	child(c, "guest", &r.Guest)
}

// maxInterfaceQueues is how many pairs of queues a tap can have, from Linux' MAX_TAP_QUEUES.
const maxInterfaceQueues = 256

func (o *HostOffloads) code(c *coder) {
	c.attr("csum").onOff(&o.CSum)
	c.attr("gso").onOff(&o.GSO)
	c.attr("tso4").onOff(&o.TSO4)
	c.attr("tso6").onOff(&o.TSO6)
	c.attr("ecn").onOff(&o.ECN)
	c.attr("ufo").onOff(&o.UFO)
	c.attr("mrg_rxbuf").onOff(&o.MrgRxBuf)
}

func (o *GuestOffloads) code(c *coder) {
	c.attr("csum").onOff(&o.CSum)
	c.attr("tso4").onOff(&o.TSO4)
	c.attr("tso6").onOff(&o.TSO6)
	c.attr("ecn").onOff(&o.ECN)
	c.attr("ufo").onOff(&o.UFO)
}
