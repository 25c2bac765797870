package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"github.com/govmm/govmm/vmm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// elsewhere calls f on a thread in a network namespace of its own, which is the
// same each time. What f opens stays there.
func elsewhere(t *testing.T) (call func(f func() error)) {
	t.Helper()
	todo, results := make(chan func() error), make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		for f := range todo {
			if err == nil {
				results <- f()
			} else {
				results <- err
			}
		}
	}()
	t.Cleanup(func() { close(todo) })
	return func(f func() error) {
		t.Helper()
		todo <- f
		must(t, <-results)
	}
}

// wire is an interface of the host that guests share, with a switch behind it that
// is in another namespace.
type wire struct {
	mode, driver string
	net          int // the last octet of its network, TEST-NET-2, of 16 addresses
}

func (w wire) name() string           { return "gt" + w.mode }
func (w wire) address(n int) string   { return fmt.Sprintf("198.51.100.%d", w.net+n) }
func (w wire) mac(machine int) string { return fmt.Sprintf("52:54:00:00:%02x:%02x", w.net, machine) }

// Hosts of each wire's network.
const (
	lowerHost   = 1 // the host's own address
	outsideHost = 2 // the switch
	firstGuest  = 5
	wireBits    = "/28"
)

func (w wire) xml(machine int) string {
	return fmt.Sprintf("<interface type='direct'><mac address='%s'/><source dev='%s' mode='%s'/><model type='virtio'/><driver name='%s'/></interface>",
		w.mac(machine), w.name(), w.mode, w.driver)
}

// lay makes the wire and its switch.
func (w wire) lay(t *testing.T, call func(func() error)) {
	t.Helper()
	var tid int
	call(func() error { tid = unix.Gettid(); return nil })
	far := fmt.Sprintf("far%d", w.net)
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: w.name()}, PeerName: far}))
	near, err := netlink.LinkByName(w.name())
	must(t, err)
	t.Cleanup(func() { must(t, netlink.LinkDel(near)) })
	peer, err := netlink.LinkByName(far)
	must(t, err)
	space, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", tid))
	must(t, err)
	defer space.Close()
	must(t, netlink.LinkSetNsFd(peer, int(space.Fd())))
	must(t, setUp(near, w.address(lowerHost)))
	call(func() error {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("sw%d", w.net)}}
		if err := netlink.LinkAdd(bridge); err != nil {
			return err
		}
		port, err := netlink.LinkByName(far)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetMaster(port, bridge), netlink.LinkSetUp(port), setUp(bridge, w.address(outsideHost)))
	})
}

func setUp(l netlink.Link, address string) error {
	a, err := netlink.ParseAddr(address + wireBits)
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(l, a), netlink.LinkSetUp(l))
}

// hairpin has the switch send frames back to where they came from.
func (w wire) hairpin(call func(func() error)) {
	call(func() error {
		port, err := netlink.LinkByName(fmt.Sprintf("far%d", w.net))
		if err != nil {
			return err
		}
		return netlink.LinkSetHairpin(port, true)
	})
}

// TestMacvtap has two guests share interfaces of the host, in each mode: who reaches
// whom is what docs/domain-xml.md says.
func TestMacvtap(t *testing.T) {
	vepa, bridge, private, passthrough := wire{"vepa", "vhost", 16}, wire{"bridge", "qemu", 32}, wire{"private", "qemu", 48}, wire{"passthrough", "vhost", 64}
	shared := []wire{vepa, bridge, private}
	call := elsewhere(t)
	for _, w := range append(shared, passthrough) {
		w.lay(t, call)
	}
	var guests [2]*machine
	for n := range guests {
		devices := "<serial type='stdio'/>"
		for _, w := range shared {
			devices += w.xml(n)
		}
		if n == 0 {
			devices += passthrough.xml(n)
		}
		guests[n] = newMachine(t, domain{vcpus: 1, initrd: cloudVirtio, cmdline: obeying, devices: devices})
		must(t, guests[n].Start())
	}
	for n, m := range guests {
		m.ready()
		for i, w := range shared {
			m.ask("address eth%d %s%s", i, w.address(firstGuest+n), wireBits)
		}
	}
	first := guests[0]
	first.ask("address eth3 %s%s", passthrough.address(firstGuest), wireBits)

	for _, w := range append(shared, passthrough) {
		first.ask("ping %s 3 1000", w.address(outsideHost))
	}
	first.ask("ping %s 3 1000", bridge.address(firstGuest+1))
	for _, w := range []wire{vepa, private} {
		if got := first.ask("reaches %s", w.address(firstGuest+1)); got != "no" {
			t.Errorf("%s: the other guest is reached: %s", w.mode, got)
		}
		w.hairpin(call)
	}
	first.ask("ping %s 3 1000", vepa.address(firstGuest+1))
	first.ask("ping %s 3 1000", vepa.address(lowerHost))
	if got := first.ask("reaches %s", private.address(firstGuest+1)); got != "no" {
		t.Errorf("private: the other guest is reached by way of the switch: %s", got)
	}
	if got := first.ask("reaches %s", bridge.address(lowerHost)); got != "no" {
		t.Errorf("bridge: the host is reached: %s", got)
	}
	for _, w := range []wire{vepa, bridge, passthrough} {
		first.exchangeWith(call, w)
	}
	first.checkMacvtaps(shared)
	for _, m := range guests {
		m.send("poweroff\n")
		m.ends(vmm.CausePowerOff, "ACPI S5")
		m.shut()
	}
	if left, err := filepath.Glob("/sys/class/net/macvtap*"); err != nil || left != nil {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// exchangeWith has the guest exchange data with the switch.
func (m *machine) exchangeWith(call func(func() error), w wire) {
	const (
		connections = 2
		length      = 25e6 // bytes of each, each way
		seed        = 90
	)
	t := m.t
	t.Helper()
	var listener net.Listener
	call(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(w.address(outsideHost), "0"))
		return err
	})
	defer listener.Close()
	must(t, listener.(*net.TCPListener).SetDeadline(time.Now().Add(waitTime)))
	m.tell("exchange %s %d %d %d", listener.Addr(), connections, int(length), seed)
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
			t.Errorf("%s: the host's end: %v", w.mode, err)
		}
	}
	if _, result, ok := m.answer(); !ok {
		t.Errorf("%s: the guest's end: %s", w.mode, result)
	}
	t.Logf("%s, %s: %.0f MB each way in %v", w.mode, w.driver, connections*length/1e6, time.Since(began).Round(time.Millisecond))
}

// checkMacvtaps looks at the host's interfaces: a guest of Linux has said which
// multicast addresses it wants, so that not all come in any more.
func (m *machine) checkMacvtaps(wires []wire) {
	m.t.Helper()
	links, err := netlink.LinkList()
	must(m.t, err)
	for _, w := range wires {
		found := false
		for _, l := range links {
			a := l.Attrs()
			if l.Type() != "macvtap" || a.HardwareAddr.String() != w.mac(0) {
				continue
			}
			found = true
			if a.RawFlags&unix.IFF_ALLMULTI != 0 {
				m.t.Errorf("%s: %s takes all multicast frames", w.mode, a.Name)
			}
		}
		if !found {
			m.t.Errorf("no macvtap has the address %s", w.mac(0))
		}
	}
	list, err := os.ReadFile("/proc/thread-self/net/dev_mcast") // the process may be elsewhere
	must(m.t, err)
	if !strings.Contains(string(list), "macvtap") {
		m.t.Errorf("no macvtap listens to a multicast address:\n%s", list)
	}
}
