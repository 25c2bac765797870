package vmm

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/govmm/govmm/domcfg"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/script"
	"github.com/govmm/govmm/net/socket"
	"github.com/govmm/govmm/net/user"
	"github.com/govmm/govmm/net/vhost"
	"github.com/govmm/govmm/virtio"
	virtionet "github.com/govmm/govmm/virtio/net"
)

// The host ends of a NIC, as in <driver name=>.
const (
	driverVhost = "vhost"
	driverQEMU  = "qemu" // user space
)

// nic is a network interface of the board.
type nic struct {
	alias  string
	host   string // the name of its tap or macvtap, if it has one
	mac    domcfg.MAC
	device nicDevice
}

// nicDevice is a network card of any model.
type nicDevice interface {
	// SetLink plugs the cable in or out.
	SetLink(up bool) error
}

// addInterfaces adds the network interfaces that the domain lists.
func (m *Machine) addInterfaces(ctx context.Context) error {
	if slices.ContainsFunc(m.domain.Devices.Interfaces, makesInterface) {
		if err := hostnet.Sweep(m.log); err != nil {
			m.log.Warn("something that a killed process has left is still there", "error", err)
		}
	}
	for n, i := range m.domain.Devices.Interfaces {
		if err := m.addInterface(ctx, i, n); err != nil {
			return fmt.Errorf("devices/interface[%d]: %w", n+1, err)
		}
	}
	return nil
}

func (m *Machine) addInterface(ctx context.Context, i *domcfg.Interface, index int) error {
	name := fmt.Sprintf("net%d", index)
	host, err := m.openHostEnd(ctx, i, name)
	if err != nil {
		return err
	}
	m.closer.add(host.Close)
	rom, err := m.nicROM(i, index)
	if err != nil {
		return err
	}
	n := &nic{alias: name, mac: i.MAC}
	if tap, ok := host.(interface{ Name() string }); ok {
		n.host = tap.Name()
	}
	add := m.addEmulatedNIC
	if i.IsVirtio() {
		add = m.addVirtioNIC
	}
	if n.device, err = add(i, name, host, rom); err != nil {
		return err
	}
	m.board.nics = append(m.board.nics, n)
	if i.LinkState == "down" {
		return n.device.SetLink(false)
	}
	return nil
}

// makesInterface reports whether an interface of the host is made for one of the guest.
func makesInterface(i *domcfg.Interface) bool {
	switch i.Type {
	case domcfg.InterfaceBridge, domcfg.InterfaceEthernet, domcfg.InterfaceDirect:
		return true
	}
	return false
}

// queuePairs is how many pairs of queues a network interface has.
func queuePairs(i *domcfg.Interface) int {
	if i.Driver == nil || !i.IsVirtio() {
		return 1
	}
	return max(int(i.Driver.Queues), 1)
}

func (m *Machine) addVirtioNIC(i *domcfg.Interface, name string, host hostnet.Backend, rom []byte) (nicDevice, error) {
	var driver domcfg.InterfaceDriver
	if i.Driver != nil {
		driver = *i.Driver
	}
	pairs := queuePairs(i)
	kernel, err := m.openVhost(driver.Name, pairs, host)
	if err != nil {
		return nil, err
	}
	device, err := virtionet.New(virtionet.Options{
		Name:       name,
		MAC:        i.MAC,
		MTU:        int(i.MTU),
		QueuePairs: pairs,
		Packed:     driver.Packed == domcfg.On,
		Backend:    host,
		Vhost:      kernel,
		Memory:     m.ram,
		TxTimer:    driver.TXMode == "timer",
		Withhold:   withheld(driver),
		Clock:      m.clock,
		Log:        m.named(name),
	})
	if err != nil {
		return nil, err
	}
	m.closer.add(func() error { device.Close(); return nil })
	m.board.pausers = append(m.board.pausers, pauser{pause: device.Pause, resume: device.Resume})
	return device, m.addVirtio(name, i.Address, device, virtioOptions{rom: rom})
}

// openHostEnd opens what a network interface is plugged into.
func (m *Machine) openHostEnd(ctx context.Context, i *domcfg.Interface, name string) (hostnet.Backend, error) {
	wire := socket.Options{Address: i.Source.Address, Port: i.Source.Port, MTU: int(i.MTU), Log: m.named(name)}
	switch i.Type {
	case domcfg.InterfaceUser:
		return openedNet(user.New(user.Options{
			Name: name, MTU: int(i.MTU), Forwards: forwards(i), Channels: m.board.userChannels, Log: m.named(name),
		}))
	case domcfg.InterfaceMcast:
		return openedNet(socket.NewMcast(wire))
	case domcfg.InterfaceServer:
		return openedNet(socket.NewServer(wire))
	case domcfg.InterfaceClient:
		return openedNet(socket.NewClient(wire))
	case domcfg.InterfaceDirect:
		return openedNet(hostnet.NewMacvtap(hostnet.MacvtapOptions{
			Name:        i.TargetDev,
			Source:      i.Source.Dev,
			Mode:        hostnet.MacvtapMode(i.Source.Mode),
			MAC:         i.MAC,
			Queues:      queuePairs(i),
			MTU:         int(i.MTU),
			FixedFilter: i.TrustFilters == domcfg.No,
			Log:         m.named(name),
		}))
	}
	tap, err := hostnet.NewTap(hostnet.TapOptions{
		Name:     i.TargetDev,
		Existing: i.TargetManaged == domcfg.No,
		Queues:   queuePairs(i),
		MAC:      i.MAC,
		MTU:      int(i.MTU),
		Bridge:   i.Source.Bridge,
		Log:      m.named(name),
	})
	if err != nil {
		return nil, err
	}
	if i.Type == domcfg.InterfaceEthernet && i.Script != nil && *i.Script != "" {
		if err := script.Run(ctx, script.Options{Path: *i.Script, Interface: tap.Name()}); err != nil {
			return nil, errors.Join(err, tap.Close())
		}
	}
	return tap, nil
}

// forwards are the ports of the host that lead to the guest.
func forwards(i *domcfg.Interface) (list []user.Forward) {
	for _, f := range i.PortForwards {
		for _, p := range f.Ports() {
			list = append(list, user.Forward{Protocol: p.Proto, Host: p.Host, Port: p.Guest})
		}
	}
	return list
}

// openedNet is a host end of any kind, or nil with an error.
func openedNet[B hostnet.Backend](b B, err error) (hostnet.Backend, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

// openVhost opens the kernel's side of a NIC: when it is asked for by name, it
// must be there; when nothing is, it is used if it is there. A host end that is
// not the kernel's has none.
func (m *Machine) openVhost(name string, pairs int, host hostnet.Backend) (*vhost.Net, error) {
	if name == driverQEMU || host.Queue(0).FD() < 0 {
		return nil, nil
	}
	n, err := vhost.Open(pairs)
	switch {
	case err == nil:
		m.closer.add(n.Close)
		return n, nil
	case name == driverVhost:
		return nil, hostError(fmt.Errorf("driver name=%q: %w", driverVhost, err))
	}
	m.log.Debug("the network interface is served in user space", "reason", err)
	return nil, nil
}

// withheld are the offloads that the domain turns off.
func withheld(d domcfg.InterfaceDriver) (f virtio.Features) {
	off := func(word domcfg.OnOff, bits virtio.Features) {
		if !word.Or(true) {
			f |= bits
		}
	}
	const hostSegments = virtionet.FeatureHostTSO4 | virtionet.FeatureHostTSO6 | virtionet.FeatureHostECN | virtionet.FeatureHostUFO
	if h := d.Host; h != nil {
		off(h.CSum, virtionet.FeatureCSUM)
		off(h.GSO, hostSegments)
		off(h.TSO4, virtionet.FeatureHostTSO4)
		off(h.TSO6, virtionet.FeatureHostTSO6)
		off(h.ECN, virtionet.FeatureHostECN)
		off(h.UFO, virtionet.FeatureHostUFO)
		off(h.MrgRxBuf, virtionet.FeatureMrgRxbuf)
	}
	if g := d.Guest; g != nil {
		off(g.CSum, virtionet.FeatureGuestCSUM)
		off(g.TSO4, virtionet.FeatureGuestTSO4)
		off(g.TSO6, virtionet.FeatureGuestTSO6)
		off(g.ECN, virtionet.FeatureGuestECN)
		off(g.UFO, virtionet.FeatureGuestUFO)
	}
	return f
}
