package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"github.com/govmm/govmm/vmm"
	"github.com/vishvananda/netlink"
)

// nic is a network interface of the domain. Its addresses are of TEST-NET-2.
type nic struct {
	driver string // qemu or vhost
	tap    string
	mac    string
	mtu    int
	host   string // addresses
	guest  string
	name   string // in the guest
}

func (n nic) xml() string {
	return fmt.Sprintf("<interface type='ethernet'><mac address='%s'/><script path=''/><target dev='%s'/>"+
		"<model type='virtio'/><driver name='%s' queues='2'/><mtu size='%d'/></interface>", n.mac, n.tap, n.driver, n.mtu)
}

// TestNetwork joins the host to a guest's interfaces, one served by govmm and
// one by the host's kernel, and has both send and receive at the same time.
func TestNetwork(t *testing.T) {
	const bits = "/30"
	nics := []nic{
		{"qemu", "govmmtest0", "52:54:00:00:0a:01", 1500, "198.51.100.1", "198.51.100.2", "eth0"},
		{"vhost", "govmmtest1", "52:54:00:00:0a:02", 4000, "198.51.100.5", "198.51.100.6", "eth1"},
	}
	devices := "<serial type='stdio'/>"
	for _, n := range nics {
		devices += n.xml()
	}
	before := vhostThreads(t)
	m := newMachine(t, domain{vcpus: 2, initrd: cloudVirtio, cmdline: obeying, devices: devices})
	must(t, m.Start())
	m.ready()
	if pci := strings.Join(m.fact("pci").all("pci"), "\n"); strings.Contains(pci, " 1af4:1002 ") {
		t.Errorf("with model='none' there is a memory balloon:\n%s", pci)
	}
	macs := m.fact("net").all("net")
	for _, n := range nics {
		if want := n.name + " " + n.mac; !strings.Contains(strings.Join(macs, "\n"), want) {
			t.Fatalf("no interface %s among %q", want, macs)
		}
		tap, err := netlink.LinkByName(n.tap)
		must(t, err)
		address, err := netlink.ParseAddr(n.host + bits)
		must(t, err)
		must(t, netlink.AddrAdd(tap, address))
		m.ask("address %s %s%s", n.name, n.guest, bits)
		t.Run(n.driver, func(t *testing.T) {
			m := &machine{guest: &guest{t: t, out: m.out, in: m.in}, Machine: m.Machine}
			m.checkNIC(n)
			m.transfer(n)
			m.unplug(n, tap)
		})
	}
	if got := vhostThreads(t); got <= before {
		t.Errorf("with driver name='vhost' the host has %d vhost threads, before there were %d", got, before)
	}
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
	m.shut()
	for _, n := range nics {
		if _, err := netlink.LinkByName(n.tap); !errors.As(err, new(netlink.LinkNotFoundError)) {
			t.Errorf("after Close the tap %s is still there (%v)", n.tap, err)
		}
	}
}

// Feature bits of a virtio network device (Virtual I/O Device specification
// 1.3, section 5.1.3) that a guest has when all offloads are on.
var netFeatures = map[string]int{
	"CSUM": 0, "GUEST_CSUM": 1, "MTU": 3, "MAC": 5, "GUEST_TSO4": 7, "GUEST_TSO6": 8,
	"HOST_TSO4": 11, "HOST_TSO6": 12, "MRG_RXBUF": 15, "STATUS": 16, "CTRL_VQ": 17, "MQ": 22,
}

// checkNIC looks at what the guest's kernel knows of an interface.
func (m *machine) checkNIC(n nic) {
	m.t.Helper()
	sys := "/sys/class/net/" + n.name
	m.becomes("1", "cat %s/carrier", sys)
	if got := m.ask("cat %s/mtu", sys); got != fmt.Sprint(n.mtu) {
		m.t.Errorf("the MTU is %s, want %d", got, n.mtu)
	}
	features := m.ask("cat %s/device/features", sys) // a digit for each bit
	for name, bit := range netFeatures {
		if bit >= len(features) || features[bit] != '1' {
			m.t.Errorf("the feature %s was not negotiated: %s", name, features)
		}
	}
	const all = "rx-checksum tx-checksum scatter-gather tso gso gro"
	if got := m.ask("offloads %s", n.name); got != all {
		m.t.Errorf("the offloads that are on: %s, want %s", got, all)
	}
	if got, want := m.ask("list %s/queues", sys), "rx-0 rx-1 tx-0 tx-1"; got != want {
		m.t.Errorf("the queues are %s, want %s", got, want)
	}
}

// transfer pings both ways, and then sends and receives over several
// connections, which the queues share.
func (m *machine) transfer(n nic) {
	const (
		connections = 4
		length      = 4 * mib // of each connection, each way
		seed        = 50
		pings, ping = 3, 1000
	)
	t := m.t
	t.Helper()
	m.ask("ping %s %d %d", n.host, pings, ping)
	must(t, traffic.Ping(n.guest, pings, ping, waitTime))

	listener, err := net.Listen("tcp", net.JoinHostPort(n.host, "0"))
	must(t, err)
	defer listener.Close()
	must(t, listener.(*net.TCPListener).SetDeadline(time.Now().Add(waitTime)))
	m.tell("exchange %s %d %d %d", listener.Addr(), connections, length, seed)
	began := time.Now()
	served := make(chan error, connections)
	for range connections {
		conn, err := listener.Accept()
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(waitTime)))
		go func() { served <- errors.Join(traffic.Exchange(conn, length, seed+1, seed), conn.Close()) }()
	}
	for range connections {
		if err := <-served; err != nil {
			t.Errorf("the host's end: %v", err)
		}
	}
	if _, result, ok := m.answer(); !ok {
		t.Errorf("the guest's end: %s", result)
	}
	t.Logf("%d MiB each way in %v", connections*length/mib, time.Since(began).Round(time.Millisecond))

	raised := m.interrupts(m.virtioName("/sys/class/net/"+n.name) + "-")
	for _, queue := range []string{"input.0", "input.1", "output.0", "output.1"} {
		if _, ok := raised[queue]; !ok {
			t.Errorf("no interrupt of the queue %s among %v", queue, raised)
		}
	}
	if raised["input.0"] == 0 || raised["input.1"] == 0 {
		t.Errorf("a receive queue had no interrupt: %v", raised)
	}
}

// unplug takes the host's end down, which the guest sees as a cable that is
// pulled, and up again.
func (m *machine) unplug(n nic, tap netlink.Link) {
	t := m.t
	t.Helper()
	must(t, netlink.LinkSetDown(tap))
	m.becomes("0", "cat /sys/class/net/%s/carrier", n.name)
	must(t, netlink.LinkSetUp(tap))
	m.becomes("1", "cat /sys/class/net/%s/carrier", n.name)
	m.ask("ping %s 1 56", n.host)
}

// vhostThreads counts the host's threads that serve virtio devices. Before Linux
// 6.4 they are the kernel's, after that they are threads of their process.
func vhostThreads(t *testing.T) int {
	t.Helper()
	count := 0
	for _, pattern := range []string{"/proc/[0-9]*/comm", "/proc/self/task/*/comm"} {
		names, err := filepath.Glob(pattern)
		must(t, err)
		for _, name := range names {
			if comm, err := os.ReadFile(name); err == nil && strings.HasPrefix(string(comm), "vhost-") {
				count++
			}
		}
	}
	return count
}
