package domcfg

import "net/netip"

// PortForward is the element portForward within an interface of type user: ports of the host that
// lead to the guest. It is newer than the document.
type PortForward struct {
	Elem
	Proto   string // tcp or udp
	Address string // of the host; empty for all
	Ranges  []*PortRange
}

// PortRange is the element range within portForward.
type PortRange struct {
	Elem
	Start, End uint16 // of the host; End is 0 for a single port
	To         uint16 // the guest's first port; 0 for the same as the host's
}

// A ForwardedPort is one port of the host's that leads to the guest.
type ForwardedPort struct {
	Proto string // tcp or udp
	Host  netip.AddrPort
	Guest uint16
}

// Ports are the single ports of the element, which is valid.
func (f *PortForward) Ports() (ports []ForwardedPort) {
	address := netip.IPv6Unspecified() // and IPv4's
	if f.Address != "" {
		address, _ = netip.ParseAddr(f.Address)
	}
	for _, r := range f.Ranges {
		for i := range r.count() {
			ports = append(ports, ForwardedPort{f.Proto, netip.AddrPortFrom(address, r.Start+uint16(i)), r.to() + uint16(i)})
		}
	}
	return ports
}

// count is the number of ports.
func (r *PortRange) count() int { return max(int(r.End)-int(r.Start), 0) + 1 }

func (r *PortRange) to() uint16 {
	if r.To == 0 {
		return r.Start
	}
	return r.To
}

func (f *PortForward) code(c *coder) {
	enum(c.attr("proto").required(), &f.Proto, "tcp", "udp")
	c.attr("address").str(&f.Address)
	children(c, "range", &f.Ranges)
}

func (r *PortRange) code(c *coder) {
	number(c.attr("start").required(), &r.Start, 1, 65535)
	number(c.attr("end"), &r.End, 1, 65535)
	number(c.attr("to"), &r.To, 1, 65535)
}

// maxForwards is how many ports of an interface may be forwarded: each is a socket.
const maxForwards = 1024

func (v *validator) portForwards(i *Interface) {
	total := 0
	for _, f := range i.PortForwards {
		if i.Type != InterfaceUser {
			v.fail(&f.Elem, "", `<portForward> is only for type="user", not %q`, string(i.Type))
		}
		if _, err := netip.ParseAddr(f.Address); f.Address != "" && err != nil {
			v.fail(&f.Elem, "@address", "address=%q is not an IP address", clip(f.Address))
		}
		if len(f.Ranges) == 0 {
			v.fail(&f.Elem, "", "element <range> is missing: it says which ports")
		}
		for _, r := range f.Ranges {
			if r.End != 0 && r.End < r.Start {
				v.fail(&r.Elem, "@end", `end="%d" is before start="%d"`, r.End, r.Start)
			}
			if last := int(r.to()) + r.count() - 1; last > 65535 {
				v.fail(&r.Elem, "", "the guest's last port would be %d", last)
			}
			total += r.count()
		}
	}
	if total > maxForwards {
		v.fail(&i.Elem, "portForward", "%d ports are more than the %d that an interface can forward", total, maxForwards)
	}
}
