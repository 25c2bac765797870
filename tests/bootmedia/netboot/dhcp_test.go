package netboot

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var options = Options{
	Interface: "lo",
	Address:   netip.MustParsePrefix("10.11.12.1/24"),
	Client:    netip.MustParseAddr("10.11.12.99"),
	BootFile:  "boot.ipxe",
}

func TestDHCPAnswer(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	for _, c := range []struct {
		name    string
		kind    dhcpv4.MessageType
		options []dhcpv4.Option
		want    dhcpv4.MessageType
	}{
		{"discover", dhcpv4.MessageTypeDiscover, nil, dhcpv4.MessageTypeOffer},
		{"request", dhcpv4.MessageTypeRequest, []dhcpv4.Option{
			dhcpv4.OptServerIdentifier(net.IPv4(10, 11, 12, 1)), dhcpv4.OptRequestedIPAddress(net.IPv4(10, 11, 12, 99)),
		}, dhcpv4.MessageTypeAck},
		{"other address", dhcpv4.MessageTypeRequest, []dhcpv4.Option{dhcpv4.OptRequestedIPAddress(net.IPv4(10, 11, 12, 98))}, dhcpv4.MessageTypeNak},
		{"other server", dhcpv4.MessageTypeRequest, []dhcpv4.Option{dhcpv4.OptServerIdentifier(net.IPv4(10, 11, 12, 2))}, dhcpv4.MessageTypeNone},
		{"release", dhcpv4.MessageTypeRelease, nil, dhcpv4.MessageTypeNone},
	} {
		request, err := dhcpv4.New(dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(c.kind))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range c.options {
			request.UpdateOption(o)
		}
		reply, err := options.answer(request)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == dhcpv4.MessageTypeNone {
			if reply != nil {
				t.Errorf("%s: %v", c.name, reply)
			}
			continue
		}
		if reply == nil || reply.MessageType() != c.want || reply.TransactionID != request.TransactionID {
			t.Errorf("%s: %v", c.name, reply)
			continue
		}
		if c.want == dhcpv4.MessageTypeNak {
			continue
		}
		if !reply.YourIPAddr.Equal(net.IPv4(10, 11, 12, 99)) || reply.BootFileName != "boot.ipxe" || reply.BootFileNameOption() != "boot.ipxe" ||
			!reply.ServerIPAddr.Equal(net.IPv4(10, 11, 12, 1)) || net.IP(reply.SubnetMask()).String() != "255.255.255.0" {
			t.Errorf("%s: %s", c.name, reply.Summary())
		}
	}
}

func TestListenRefuses(t *testing.T) {
	outside := options
	outside.Client = netip.MustParseAddr("10.11.13.1")
	if _, err := Listen(outside); err == nil || !strings.Contains(err.Error(), "10.11.13.1") {
		t.Errorf("a client outside of the network: %v", err)
	}
	nowhere := options
	nowhere.Root = "/no/such/directory"
	if _, err := Listen(nowhere); err == nil || !strings.Contains(err.Error(), nowhere.Root) {
		t.Errorf("no directory: %v", err)
	}
	device := options
	device.Root, device.Interface = t.TempDir(), "no-such-device"
	if _, err := Listen(device); err == nil || !strings.Contains(err.Error(), device.Interface) {
		t.Errorf("no interface: %v", err)
	}
}
