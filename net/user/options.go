package user

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
)

// The addresses of the network.
var (
	prefix = netip.MustParsePrefix("10.0.2.0/24")
	router = netip.MustParseAddr("10.0.2.2")
	dns    = netip.MustParseAddr("10.0.2.3")
	guest  = netip.MustParseAddr("10.0.2.15")
)

// Guest is the address that the first client of the DHCP server is given, and
// to which forwards lead.
func Guest() netip.Addr { return guest }

// Router is the host's address in the network.
func Router() netip.Addr { return router }

// DNS is the name server's address.
func DNS() netip.Addr { return dns }

// maxMTU in bytes is that of the largest IP packet, without what gVisor keeps
// for link headers.
const (
	minMTU     = 576
	maxMTU     = 65520
	defaultMTU = 1500
)

// Options describe a network. The zero value is usable.
type Options struct {
	Name string // for messages; "user"
	MTU  int    // bytes, 576 to 65520, that DHCP tells the guest; 0 means 1500

	// Forwards are ports of the host that lead to the guest.
	Forwards []Forward

	// Channels are addresses in the network whose connections do not leave this
	// process: the function makes the other end of each. Where that has a method
	// CloseWrite, it is told by that when the guest sends no more, and closed when
	// both directions have ended; otherwise it is closed when one has.
	Channels map[netip.AddrPort]func(context.Context) (io.ReadWriteCloser, error)

	// Resolvers are the name servers to ask, in this order. Nil means those of
	// ResolvConf, which is read again when it has changed.
	Resolvers  []netip.AddrPort
	ResolvConf string // "" means /etc/resolv.conf

	Log *slog.Logger // nil discards
}

// Forward is a port of the host that leads to the guest. Connections come from
// the router's address.
type Forward struct {
	Protocol string         // "tcp" or "udp"
	Host     netip.AddrPort // to listen at; [::] is any address, IPv4 too
	Port     uint16         // of the guest
}

// complete fills in the defaults and says what is wrong.
func (o *Options) complete() error {
	if o.Name == "" {
		o.Name = "user"
	}
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	if o.ResolvConf == "" {
		o.ResolvConf = "/etc/resolv.conf"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MTU < minMTU || o.MTU > maxMTU {
		return fmt.Errorf("an MTU of %d bytes is not between %d and %d", o.MTU, minMTU, maxMTU)
	}
	for _, f := range o.Forwards {
		if f.Protocol != "tcp" && f.Protocol != "udp" {
			return fmt.Errorf("forward of %v: protocol %q is neither tcp nor udp", f.Host, f.Protocol)
		}
		if f.Port == 0 || !f.Host.IsValid() {
			return fmt.Errorf("forward of %v to port %d: both need an address and a port", f.Host, f.Port)
		}
	}
	for a := range o.Channels {
		if !prefix.Contains(a.Addr()) || a.Port() == 0 {
			return fmt.Errorf("channel %v is not a port of an address in %v", a, prefix)
		}
	}
	return nil
}
