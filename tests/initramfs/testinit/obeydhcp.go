package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

// askDHCP configures an interface by DHCP. Its result is the address, router and
// name servers.
func askDHCP(w *words) (string, error) {
	name := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return "", err
	}
	client, err := nclient4.New(name)
	if err != nil {
		return "", err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), netTime)
	defer cancel()
	lease, err := client.Request(ctx)
	if err != nil {
		return "", err
	}
	return describe(lease.ACK), useLease(link, lease.ACK)
}

// useLease does what a DHCP server says.
func useLease(link netlink.Link, ack *dhcpv4.DHCPv4) error {
	routers := ack.Router()
	if len(routers) == 0 {
		return errors.New("the DHCP server names no router")
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: ack.SubnetMask()}}
	return errors.Join(
		netlink.AddrAdd(link, address),
		netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: routers[0]}))
}

func describe(ack *dhcpv4.DHCPv4) string {
	mask, _ := ack.SubnetMask().Size()
	text := fmt.Sprintf("%v/%d", ack.YourIPAddr, mask)
	for _, list := range [][]net.IP{ack.Router(), ack.DNS()} {
		for _, ip := range list {
			text += " " + ip.String()
		}
	}
	return text
}

// lookup asks a name server for the addresses of a name.
func lookup(w *words) (string, error) {
	server, name := w.text(), w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), netTime)
	defer cancel()
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(server, "53"))
	}}
	addresses, err := resolver.LookupHost(ctx, name)
	return strings.Join(addresses, " "), err
}
