package integration

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"github.com/govmm/govmm/vmm"
)

// TestUserNetwork has a guest find its network by DHCP and reach the host through
// a NAT: by ping, DNS and TCP, 200 MB each way.
func TestUserNetwork(t *testing.T) {
	m := newMachine(t, domain{
		vcpus: 2, initrd: cloudVirtio, cmdline: obeying,
		devices: "<serial type='stdio'/><interface type='user'><mac address='52:54:00:00:0b:01'/><model type='virtio'/></interface>",
	})
	m.useNetwork(50e6)
}

// TestNICModels does the same with the cards that exist as hardware, and the
// drivers that Linux has for them; 20 MB each way.
func TestNICModels(t *testing.T) {
	for _, model := range []string{"e1000", "rtl8139"} {
		t.Run(model, func(t *testing.T) {
			m := newMachine(t, domain{
				vcpus: 2, kernel: genericKernel(t).Image, initrd: genericNIC, cmdline: obeying,
				devices: "<serial type='stdio'/><interface type='user'><mac address='52:54:00:00:0b:02'/><model type='" + model + "'/></interface>",
			})
			m.useNetwork(5e6)
		})
	}
}

// useNetwork exchanges so many bytes on each of four connections with the host,
// and ends the guest.
func (m *machine) useNetwork(length uint64) {
	const (
		router      = "10.0.2.2"
		server      = "10.0.2.3"
		connections = 4
		seed        = 60
	)
	t := m.t
	t.Helper()
	must(t, m.Start())
	m.ready()
	if got, want := m.ask("dhcp eth0"), "10.0.2.15/24 "+router+" "+server; got != want {
		t.Errorf("DHCP gives %s, want %s", got, want)
	}
	m.ask("ping %s 3 1000", router)
	m.lookUp(server)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	must(t, listener.(*net.TCPListener).SetDeadline(time.Now().Add(waitTime)))
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	began := time.Now()
	m.tell("exchange %s %d %d %d", net.JoinHostPort(router, port), connections, length, seed)
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
	t.Logf("%d MB each way in %v", connections*length/1e6, time.Since(began).Round(time.Millisecond))
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
	m.shut()
}

// lookUp has the guest ask for a name that nobody has: the answer says so, or that
// the host can ask nobody, but it comes.
func (m *machine) lookUp(server string) {
	m.t.Helper()
	m.tell("lookup %s name.invalid.", server)
	_, result, ok := m.answer()
	if ok || !strings.Contains(result, "no such host") && !strings.Contains(result, "server misbehaving") {
		m.t.Errorf("the name server's answer: %q (done: %v)", result, ok)
	}
}
