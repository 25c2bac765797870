package integration

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"github.com/govmm/govmm/vmm"
)

// TestGuestForward has a guest connect to an address in its network that is a
// socket of the host's, twice, with a client of its own each time.
func TestGuestForward(t *testing.T) {
	const (
		address = "10.0.2.1"
		port    = "4600"
		length  = 20 * mib
		seed    = 70
	)
	socket := filepath.Join(t.TempDir(), "socket")
	m := newMachine(t, domain{
		vcpus: 2, initrd: cloudVirtio, cmdline: obeying,
		devices: `<serial type='stdio'/><interface type='user'><mac address='52:54:00:00:0b:03'/><model type='virtio'/></interface>
<channel type='unix'><source mode='bind' path='` + socket + `'/><target type='guestfwd' address='` + address + `' port='` + port + `'/></channel>`,
	})
	must(t, m.Start())
	m.ready()
	m.ask("dhcp eth0")
	for range 2 {
		client, err := net.Dial("unix", socket)
		must(t, err)
		must(t, client.SetDeadline(time.Now().Add(waitTime)))
		m.tell("exchange %s 1 %d %d", net.JoinHostPort(address, port), length, seed)
		if err := errors.Join(traffic.Exchange(client, length, seed+1, seed), client.Close()); err != nil {
			t.Errorf("the host's end: %v", err)
		}
		if _, result, ok := m.answer(); !ok {
			t.Errorf("the guest's end: %s", result)
		}
	}
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
	m.shut()
}
