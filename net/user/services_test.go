package user

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"

	hostnet "github.com/govmm/govmm/net"
)

func TestUDP(t *testing.T) {
	m := newMachine(t, newNetwork(t, Options{}), allOffloads, true)
	for address, seen := range map[string]string{"127.0.0.1": router.String(), far: far} {
		port := hostUDP(t, address, bytes.ToUpper)
		c := m.dialUDP(at(seen, port))
		for _, n := range []int{0, 1, 1472, 1473, 9000, 60000} { // with fragments
			sent := bytes.Repeat([]byte{'a'}, n)
			_, err := c.Write(sent)
			must(t, err)
			buf := make([]byte, maxDatagram)
			k, err := c.Read(buf)
			must(t, err)
			if !bytes.Equal(buf[:k], bytes.ToUpper(sent)) {
				t.Errorf("%s: of %d bytes %d come back", seen, n, k)
			}
		}
	}
}

// When there are too many flows, the one that was not used for the longest time
// ends.
func TestUDPLimit(t *testing.T) {
	n := newNetwork(t, Options{})
	m := newMachine(t, n, 0, true)
	port := hostUDP(t, "127.0.0.1", bytes.ToUpper)
	ask := func(c net.Conn) {
		t.Helper()
		_, err := c.Write([]byte("x"))
		must(t, err)
		_, err = c.Read(make([]byte, 1))
		must(t, err)
	}
	for range maxFlows + 20 {
		ask(m.dialUDP(netip.AddrPortFrom(router, port)))
	}
	n.world.flows.mu.Lock()
	got := len(n.world.flows.all)
	n.world.flows.mu.Unlock()
	if got > maxFlows {
		t.Errorf("%d flows, more than %d", got, maxFlows)
	}
}

func TestForwardUDP(t *testing.T) {
	n := newNetwork(t, Options{Forwards: []Forward{{Protocol: "udp", Host: at("127.0.0.1", 0), Port: 53}}})
	m := newMachine(t, n, 0, true)
	g := m.bind(53)
	for i := range 3 { // peers, each with its flow
		c, err := net.Dial("udp", n.Forwarded()[0].String())
		must(t, err)
		defer c.Close()
		must(t, c.SetDeadline(time.Now().Add(patience)))
		for range 2 {
			_, err = c.Write([]byte{byte(i)})
			must(t, err)
			buf := make([]byte, 10)
			k, from, err := g.ReadFrom(buf)
			must(t, err)
			if k != 1 || buf[0] != byte(i) || from.(*net.UDPAddr).IP.String() != router.String() {
				t.Errorf("the guest received % x from %v", buf[:k], from)
			}
			_, err = g.WriteTo([]byte{buf[0] + 100}, from)
			must(t, err)
			k, err = c.Read(buf)
			must(t, err)
			if k != 1 || buf[0] != byte(i)+100 {
				t.Errorf("the peer received % x", buf[:k])
			}
		}
	}
}

// ping sends an echo request from the guest and waits for the reply.
func (m *machine) ping(to netip.Addr, payload int) error {
	var queue waiter.Queue
	ep, failed := m.stack.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &queue)
	if failed != nil {
		return errors.New(failed.String())
	}
	defer ep.Close()
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents)
	queue.EventRegister(&entry)
	defer queue.EventUnregister(&entry)
	request := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize+payload))
	request.SetType(header.ICMPv4Echo)
	request.SetSequence(7)
	for i := range payload {
		request[header.ICMPv4MinimumSize+i] = byte(i)
	}
	address := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(to.As4())}
	if _, failed := ep.Write(bytes.NewReader(request), tcpip.WriteOptions{To: &address}); failed != nil {
		return errors.New(failed.String())
	}
	select {
	case <-readable:
	case <-time.After(patience):
		return errors.New("no reply")
	}
	var got bytes.Buffer
	if _, failed := ep.Read(&got, tcpip.ReadOptions{}); failed != nil {
		return errors.New(failed.String())
	}
	reply := header.ICMPv4(got.Bytes())
	if reply.Type() != header.ICMPv4EchoReply || reply.Sequence() != 7 || !bytes.Equal(reply.Payload(), request.Payload()) {
		return errors.New("the reply differs")
	}
	return nil
}

func TestPing(t *testing.T) {
	m := newMachine(t, newNetwork(t, Options{}), 0, true)
	for _, to := range []netip.Addr{router, dns, netip.MustParseAddr(far)} {
		for _, payload := range []int{0, 56, 4000} {
			if err := m.ping(to, payload); err != nil {
				t.Errorf("%v, %d bytes: %v", to, payload, err)
			}
		}
	}
}

// query is a DNS query for nothing in particular.
func query(id uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, id), "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01"...)
}

func TestDNS(t *testing.T) {
	answer := func(b []byte) []byte { return append(append(bytes.Clone(b[:2]), 0x81, 0x80), "answer"...) }
	port := hostUDP(t, "127.0.0.1", answer)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody has that port of UDP
	must(t, err)
	closed := uint16(silent.Addr().(*net.TCPAddr).Port)
	silent.Close()
	for name, c := range map[string]struct {
		servers []netip.AddrPort
		want    []byte
	}{
		"one":         {[]netip.AddrPort{at("127.0.0.1", port)}, answer(query(5))},
		"second":      {[]netip.AddrPort{at("127.0.0.1", closed), at("127.0.0.1", port)}, answer(query(5))},
		"none answer": {[]netip.AddrPort{at("127.0.0.1", closed)}, append([]byte{0, 5, 0x81, 0x82}, query(5)[4:]...)},
		"none":        {[]netip.AddrPort{}, append([]byte{0, 5, 0x81, 0x82}, query(5)[4:]...)},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, newNetwork(t, Options{Resolvers: c.servers}), 0, true)
			g := m.dialUDP(netip.AddrPortFrom(dns, dnsPort))
			_, err := g.Write(query(5))
			must(t, err)
			buf := make([]byte, 512)
			n, err := g.Read(buf)
			must(t, err)
			if !bytes.Equal(buf[:n], c.want) {
				t.Errorf("answer % x, want % x", buf[:n], c.want)
			}
		})
	}
}

func TestDNSOverTCP(t *testing.T) {
	port := hostTCP(t, "127.0.0.1", func(c net.Conn) { _, _ = io.Copy(c, c) })
	m := newMachine(t, newNetwork(t, Options{Resolvers: []netip.AddrPort{at("127.0.0.1", port)}}), 0, true)
	c, err := m.dial(netip.AddrPortFrom(dns, dnsPort))
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = c.Write(query(9))
	must(t, err)
	got := make([]byte, len(query(9)))
	_, err = io.ReadFull(c, got)
	must(t, err)
	if !bytes.Equal(got, query(9)) {
		t.Errorf("received % x", got)
	}
}

// The host's name servers are those of its file, also after it has changed.
func TestResolvConf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	r := resolvers{file: file}
	if got := r.get(); got != nil {
		t.Errorf("without a file: %v", got)
	}
	for i, c := range []struct{ text, want string }{
		{"# nameserver 192.0.2.9\nsearch example.org\nnameserver 192.0.2.1\nnameserver\tfd00::1 # two\n", "[192.0.2.1:53 [fd00::1]:53]"},
		{"nameserver nonsense\nnameserver\n", "[]"},
		{"nameserver 192.0.2.3", "[192.0.2.3:53]"},
	} {
		must(t, os.WriteFile(file, []byte(c.text), 0o600))
		when := time.Unix(1e9+int64(i), 0)
		must(t, os.Chtimes(file, when, when))
		var got []string
		for _, a := range r.get() {
			got = append(got, a.String())
		}
		if s := "[" + strings.Join(got, " ") + "]"; s != c.want {
			t.Errorf("%q: %s, want %s", c.text, s, c.want)
		}
	}
}

func FuzzParseResolvers(f *testing.F) {
	f.Add("nameserver 192.0.2.1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range parseResolvers(bufio.NewScanner(strings.NewReader(text))) {
			if !a.Addr().IsValid() || a.Port() != dnsPort {
				t.Errorf("%q: %v", text, a)
			}
		}
	})
}

func FuzzUnanswered(f *testing.F) {
	f.Add(query(1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r := unanswered(b); r != nil && (len(r) != len(b) || r[2]&0x80 == 0 || r[3]&0xF != 2) {
			t.Errorf("% x: % x", b, r)
		}
	})
}

// A client of DHCP is given its address, over the wire: the frames are made by
// hand, as a machine without address sends them.
func TestDHCP(t *testing.T) {
	n := newNetwork(t, Options{MTU: 9000})
	discover, err := dhcpv4.NewDiscovery(net.HardwareAddr(guestMAC))
	must(t, err)
	offer := n.dhcp(t, discover)
	if offer.MessageType() != dhcpv4.MessageTypeOffer || offer.YourIPAddr.String() != "10.0.2.15" {
		t.Fatalf("offer %s", offer.Summary())
	}
	request, err := dhcpv4.NewRequestFromOffer(offer)
	must(t, err)
	ack := n.dhcp(t, request)
	if ack.MessageType() != dhcpv4.MessageTypeAck || ack.YourIPAddr.String() != "10.0.2.15" || ack.Router()[0].String() != "10.0.2.2" ||
		ack.DNS()[0].String() != "10.0.2.3" || ack.SubnetMask().String() != "ffffff00" || ack.IPAddressLeaseTime(0) != leaseTime {
		t.Errorf("answer %s", ack.Summary())
	}
	if mtu := ack.Options.Get(dhcpv4.OptionInterfaceMTU); !bytes.Equal(mtu, []byte{9000 >> 8, 9000 & 0xff}) {
		t.Errorf("MTU % x", mtu)
	}
}

// dhcp sends a message in a frame and returns the answer.
func (n *Network) dhcp(t *testing.T, m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	t.Helper()
	payload := m.ToBytes()
	const ip, dgram = header.EthernetMinimumSize, header.EthernetMinimumSize + header.IPv4MinimumSize
	frame := make([]byte, dgram+header.UDPMinimumSize, 2000)
	header.Ethernet(frame).Encode(&header.EthernetFields{SrcAddr: guestMAC, DstAddr: header.EthernetBroadcastAddress, Type: header.IPv4ProtocolNumber})
	header.IPv4(frame[ip:]).Encode(&header.IPv4Fields{
		TotalLength: uint16(header.IPv4MinimumSize + header.UDPMinimumSize + len(payload)), TTL: 64,
		Protocol: 17, SrcAddr: header.IPv4Any, DstAddr: header.IPv4Broadcast,
	})
	header.IPv4(frame[ip:]).SetChecksum(^checksum.Checksum(frame[ip:dgram], 0))
	header.UDP(frame[dgram:]).Encode(&header.UDPFields{SrcPort: 68, DstPort: 67, Length: uint16(header.UDPMinimumSize + len(payload))})
	must(t, n.Send([][]byte{make([]byte, hostnet.HeaderSize), append(frame, payload...)}))
	buf := make([]byte, 12000)
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		k, _, err := n.Receive([][]byte{buf})
		if errors.Is(err, hostnet.ErrAgain) {
			_, err = n.Wait(hostnet.ToReceive, nil)
			must(t, err)
			continue
		}
		must(t, err)
		got := buf[hostnet.HeaderSize:k]
		if len(got) < dgram+header.UDPMinimumSize || header.UDP(got[dgram:]).DestinationPort() != 68 {
			continue // ARP
		}
		if header.IPv4(got[ip:]).SourceAddress().String() != router.String() {
			t.Errorf("the answer comes from %v", header.IPv4(got[ip:]).SourceAddress())
		}
		reply, err := dhcpv4.FromBytes(got[dgram+header.UDPMinimumSize:])
		must(t, err)
		return reply
	}
	t.Fatal("no answer")
	return nil
}

func TestDHCPAnswers(t *testing.T) {
	w := &world{options: Options{MTU: defaultMTU}}
	mac := func(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(i)} }
	message := func(i int, options ...dhcpv4.Modifier) []byte {
		m, err := dhcpv4.New(append(options, dhcpv4.WithHwAddr(mac(i)))...)
		must(t, err)
		return m.ToBytes()
	}
	kind, wants := dhcpv4.WithMessageType, func(ip string) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(ip)))
	}
	for _, c := range []struct {
		name    string
		message []byte
		want    string // "" for no answer
	}{
		{"first", message(1, kind(dhcpv4.MessageTypeDiscover)), "OFFER 10.0.2.15"},
		{"second", message(2, kind(dhcpv4.MessageTypeDiscover)), "OFFER 10.0.2.16"},
		{"first again", message(1, kind(dhcpv4.MessageTypeRequest), wants("10.0.2.15")), "ACK 10.0.2.15"},
		{"renewal", message(2, kind(dhcpv4.MessageTypeRequest), dhcpv4.WithClientIP(net.IPv4(10, 0, 2, 16))), "ACK 10.0.2.16"},
		{"of another network", message(1, kind(dhcpv4.MessageTypeRequest), wants("192.0.2.7")), "NAK 0.0.0.0"},
		{"inform", message(1, kind(dhcpv4.MessageTypeInform)), "ACK 0.0.0.0"},
		{"release", message(1, kind(dhcpv4.MessageTypeRelease)), ""},
		{"another server's", message(1, kind(dhcpv4.MessageTypeRequest), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 2, 9)))), ""},
		{"a reply", message(1, func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }), ""},
		{"nonsense", []byte("nonsense"), ""},
	} {
		got := ""
		if m, err := w.answerDHCP(c.message); err == nil {
			got = m.MessageType().String() + " " + m.YourIPAddr.String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for i := 3; i <= maxLeases; i++ {
		_, err := w.answerDHCP(message(i, kind(dhcpv4.MessageTypeDiscover)))
		must(t, err)
	}
	if _, err := w.answerDHCP(message(99, kind(dhcpv4.MessageTypeDiscover))); err == nil {
		t.Error("there is no end of addresses")
	}
}

func TestOptions(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	used := taken.Addr().(*net.TCPAddr).AddrPort()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{MTU: 100}, "MTU of 100"},
		{Options{MTU: 65536}, "MTU of 65536"},
		{Options{Forwards: []Forward{{Protocol: "sctp", Host: used, Port: 1}}}, "neither tcp nor udp"},
		{Options{Forwards: []Forward{{Protocol: "tcp", Host: used}}}, "need an address and a port"},
		{Options{Forwards: []Forward{{Protocol: "tcp", Host: used, Port: 22}}}, "address already in use"},
	} {
		if n, err := New(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
			if err == nil {
				n.Close()
			}
		}
	}
}

// Nothing is left behind, with connections of all kinds open.
func TestCloseLeavesNothing(t *testing.T) {
	ports := []uint16{
		hostTCP(t, "127.0.0.1", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }),
		hostUDP(t, "127.0.0.1", bytes.ToUpper),
	}
	files := openFiles(t)
	for range 3 {
		n := newNetwork(t, Options{Forwards: []Forward{
			{Protocol: "tcp", Host: at("127.0.0.1", 0), Port: 1}, {Protocol: "udp", Host: at("127.0.0.1", 0), Port: 1},
		}})
		m := newMachine(t, n, 0, true)
		c, err := m.dial(netip.AddrPortFrom(router, ports[0]))
		must(t, err)
		defer c.Close()
		u := m.dialUDP(netip.AddrPortFrom(router, ports[1]))
		_, err = u.Write([]byte("x"))
		must(t, err)
		_, err = u.Read(make([]byte, 1))
		must(t, err)
		must(t, n.Close())
		gone(t, "(*world)")
	}
	// The servers may have the ends of a connection for a moment longer.
	deadline := time.Now().Add(patience)
	for !slices.Equal(openFiles(t), files) {
		if time.Now().After(deadline) {
			t.Fatalf("open files %v, before %v", openFiles(t), files)
		}
		runtime.Gosched()
	}
}

// gone waits until no goroutine's stack has a name any more: one that Close has
// waited for may be about to end.
func gone(t *testing.T, name string) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		all := stacks[:runtime.Stack(stacks, true)]
		i := bytes.Index(all, []byte(name))
		if i < 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after Close there runs\n%s", all[max(0, i-500):min(len(all), i+500)])
		}
	}
}

// openFiles are the open files of the process.
func openFiles(t testing.TB) (files []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return files
}

// Whatever a guest sends, nothing breaks.
func FuzzFrames(f *testing.F) {
	n := newNetwork(f, Options{Resolvers: []netip.AddrPort{}})
	f.Add([]byte(string(routerMAC)+string(guestMAC)+"\x08\x00\x45\x00\x00\x1c\x00\x00\x00\x00\x40\x01\x00\x00\x0a\x00\x02\x0f\x0a\x00\x02\x02\x08\x00\xf7\xff"), []byte{})
	f.Add([]byte(string(header.EthernetBroadcastAddress)+string(guestMAC)+"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01"), []byte{1, 1, 0, 0, 0, 0, 9, 0, 3, 0})
	f.Fuzz(func(t *testing.T, frame, head []byte) {
		if len(frame) > 33 {
			// Nothing is to leave the host.
			copy(frame[30:34], router.AsSlice())
		}
		h := make([]byte, hostnet.HeaderSize)
		copy(h, head)
		if err := n.Send([][]byte{h, frame}); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if _, _, err := n.Receive([][]byte{make([]byte, 2000)}); err != nil {
				break
			}
		}
	})
}
