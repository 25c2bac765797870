package netboot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// NewTap makes a tap that is up and has an address, for a machine to open by
// its name. It stays until it is removed. Only root makes taps.
func NewTap(name string, address netip.Prefix) (remove func() error, err error) {
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_NO_PI,
	}
	if err := netlink.LinkAdd(tap); err != nil {
		return nil, fmt.Errorf("netboot: tap %s: %w", name, err)
	}
	remove = func() error { return netlink.LinkDel(tap) }
	network := net.IPNet{IP: address.Addr().AsSlice(), Mask: net.CIDRMask(address.Bits(), address.Addr().BitLen())}
	if err := netlink.AddrAdd(tap, &netlink.Addr{IPNet: &network}); err != nil {
		return nil, errors.Join(fmt.Errorf("netboot: address of tap %s: %w", name, err), remove())
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		return nil, errors.Join(fmt.Errorf("netboot: tap %s: %w", name, err), remove())
	}
	return remove, nil
}
