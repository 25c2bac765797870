package vmm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/govmm/govmm/chardev"
)

// ErrNoDevice is part of the error for a device that the domain does not have,
// or that cannot do what it is asked for.
var ErrNoDevice = errors.New("no such device")

// ResizeConsole tells the guest the size of a virtio console in characters, from
// 1 by 1 on. device is its alias, for instance console0, see Chardevs. The guest
// may be told before Start; it finds the last size also after a reset. A serial
// port has no size.
//
// The error is ErrNoDevice for another device, ErrNotRunning for a machine that
// has ended, or the cause of ctx.
func (m *Machine) ResizeConsole(ctx context.Context, device string, columns, rows uint16) error {
	return m.change(ctx, func() error {
		c, err := m.chardev(device)
		switch {
		case err != nil:
			return err
		case c.resize == nil:
			return fmt.Errorf("%s is not a virtio console and has no size: %w", device, ErrNoDevice)
		case columns == 0 || rows == 0:
			return fmt.Errorf("%s: a console cannot have %d columns and %d rows", device, columns, rows)
		}
		return c.resize(columns, rows)
	})
}

// ChardevStats is the traffic of a character device by its alias, see Chardevs:
// among it, how many bytes of the guest's output nobody has read in time. It
// can be asked for at any time, also after Close. The error is ErrNoDevice.
func (m *Machine) ChardevStats(device string) (chardev.Stats, error) {
	c, err := m.chardev(device)
	if err != nil {
		return chardev.Stats{}, err
	}
	return c.backend.Stats(), nil
}

func (m *Machine) chardev(alias string) (*charDevice, error) {
	for _, c := range m.board.chardevs {
		if c.Alias == alias {
			return c, nil
		}
	}
	return nil, unknown("character device", alias, m.board.chardevs, func(c *charDevice) string { return c.Alias })
}

// SetLink plugs a network cable in or out, like <link state=>. interfaceName is
// the interface's alias (net0), its name on the host (vnet0), or its MAC address
// if no other interface has that. The guest's driver is told; it stays so after a
// reset.
//
// The error is ErrNoDevice for an unknown interface, ErrNotRunning for a machine
// that has ended, the cause of ctx, or what the host end could not do; for the
// guest the link has then changed nevertheless.
func (m *Machine) SetLink(ctx context.Context, interfaceName string, up bool) error {
	return m.change(ctx, func() error {
		n, err := m.nic(interfaceName)
		if err != nil {
			return err
		}
		return n.device.SetLink(up)
	})
}

func (m *Machine) nic(name string) (*nic, error) {
	mac, macErr := net.ParseMAC(name)
	var found []*nic
	for _, n := range m.board.nics {
		if n.alias == name || n.host != "" && n.host == name || macErr == nil && bytes.Equal(n.mac[:], mac) {
			found = append(found, n)
		}
	}
	switch len(found) {
	case 0:
		return nil, unknown("network interface", name, m.board.nics, func(n *nic) string {
			if n.host == "" {
				return fmt.Sprintf("%s (%s)", n.alias, net.HardwareAddr(n.mac[:]))
			}
			return fmt.Sprintf("%s (%s, %s)", n.alias, n.host, net.HardwareAddr(n.mac[:]))
		})
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d network interfaces answer to %s: name one by its alias (%s)", len(found), name, found[0].alias)
}

// RefreshDisk looks at the size of a disk's image or block device again, after
// something has made that longer or shorter, and tells the guest. target is the
// disk's name in <target dev=>, vda for instance. It returns the size in bytes.
//
// The error is ErrNoDevice for an unknown disk and for one whose size cannot
// change, ErrNotRunning for a machine that has ended, the cause of ctx, or why
// the size cannot be found.
func (m *Machine) RefreshDisk(ctx context.Context, target string) (size int64, err error) {
	err = m.change(ctx, func() error {
		d, err := m.disk(target)
		if err != nil {
			return err
		}
		b, ok := d.medium.(interface{ Refresh() error })
		if !ok {
			return fmt.Errorf("disk %s: its format has a size of its own: %w", target, ErrNoDevice)
		}
		if err := b.Refresh(); err != nil {
			return fmt.Errorf("disk %s: %w", target, err)
		}
		size = d.medium.Size()
		return nil
	})
	return size, err
}

func (m *Machine) disk(target string) (*disk, error) {
	for _, d := range m.board.disks {
		if d.name == target {
			return d, nil
		}
	}
	return nil, unknown("disk", target, m.board.disks, func(d *disk) string { return d.name })
}

// unknown is the error for a device of a kind that there is not, with those that
// there are.
func unknown[T any](kind, name string, all []T, nameOf func(T) string) error {
	names := make([]string, len(all))
	for i, d := range all {
		names[i] = nameOf(d)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s %q: the machine has none: %w", kind, name, ErrNoDevice)
	}
	return fmt.Errorf("%s %q: the machine has %s: %w", kind, name, strings.Join(names, ", "), ErrNoDevice)
}

// change carries out f, which changes a device, on a machine that has not ended:
// on the supervisor, or before Start with the machine's lock held, so that the
// device is there until f returns.
func (m *Machine) change(ctx context.Context, f func() error) error {
	m.mu.Lock()
	if m.started {
		m.mu.Unlock()
		return m.do(ctx, f)
	}
	defer m.mu.Unlock()
	if m.closed {
		return ErrNotRunning
	}
	return f()
}

// VCPUThreads are the host's threads that run the vCPUs, 0 for one that does not
// run.
func (m *Machine) VCPUThreads() []int {
	threads := make([]int, len(m.cpus))
	for i, v := range m.cpus {
		threads[i] = int(v.tid.Load())
	}
	return threads
}

// TrayLocked reports whether the guest keeps the tray of a CD-ROM drive, named
// by its target, closed.
func (m *Machine) TrayLocked(target string) bool {
	d, err := m.disk(target)
	if err != nil {
		return false
	}
	c, ok := d.drive.(*cdromDrive)
	return ok && c.Media().Locked
}
