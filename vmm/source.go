package vmm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/fatdir"
	"github.com/govmm/govmm/block/nbd"
	"github.com/govmm/govmm/domcfg"
)

// openImage opens a disk's source, in the way of its driver.
func (m *Machine) openImage(ctx context.Context, d *domcfg.Disk) (block.Backend, error) {
	o, err := blockOptions(d)
	if err != nil {
		return nil, err
	}
	o.Log = m.named(d.Target.Dev)
	encryption := d.Encrypted()
	format := driverOf(d).Type
	if encryption == nil && !isFormat(format) && (d.Type == domcfg.DiskFile || d.Type == domcfg.DiskBlock) {
		return block.Open(ctx, o)
	}
	layer, name, err := m.openSource(ctx, d, o)
	if err != nil {
		return nil, err
	}
	var secret []byte // of an image that has encryption of its own
	if encryption != nil && format == "qcow" {
		if secret, err = m.secretOf(ctx, encryption); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: encryption: %w", name, err), layer.Close())
		}
		defer clear(secret)
	} else if encryption != nil {
		decrypted, err := m.decrypt(ctx, layer, encryption)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: encryption: %w", name, err), layer.Close())
		}
		layer = decrypted
	}
	if isFormat(format) {
		image, err := m.openFormat(ctx, layer, d, o, secret)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), layer.Close())
		}
		layer = image
	}
	return block.NewDisk(layer, block.DiskOptions{Name: name, WriteThrough: o.Cache == block.CacheWritethrough}), nil
}

// openSource opens what a disk lies in, and names it.
func (m *Machine) openSource(ctx context.Context, d *domcfg.Disk, o block.Options) (block.Layer, string, error) {
	switch d.Type {
	case domcfg.DiskFile, domcfg.DiskBlock:
		f, err := block.OpenFile(ctx, o)
		if err != nil {
			return nil, "", err
		}
		return f, f.Path(), nil
	case domcfg.DiskNetwork:
		return m.openNBD(ctx, d, o)
	case domcfg.DiskDir:
		disk, err := fatdir.Open(ctx, fatdir.Options{Path: d.Source.Dir, Floppy: d.Device == domcfg.DeviceFloppy, Log: o.Log})
		if err != nil {
			return nil, "", err
		}
		return disk, d.Source.Dir, nil
	}
	return nil, "", fmt.Errorf("a source of type %s has no host end in this version", d.Type)
}

// openNBD connects to an NBD server.
func (m *Machine) openNBD(ctx context.Context, d *domcfg.Disk, o block.Options) (block.Layer, string, error) {
	s := d.Source
	if s == nil || s.Protocol != "nbd" || len(s.Hosts) != 1 {
		return nil, "", errors.New("a network disk needs the protocol nbd and one host")
	}
	host := s.Hosts[0]
	n := nbd.Options{Network: "tcp", Export: s.Name, ReadOnly: o.ReadOnly, Log: o.Log}
	if host.Transport == "unix" {
		n.Network, n.Address = "unix", host.Socket
	} else {
		n.Address = nbd.TCPAddress(host.Name, host.Port)
	}
	if s.TLS == domcfg.Yes {
		name := s.TLSHostname
		if name == "" {
			name = host.Name
		}
		var err error
		if n.TLS, err = nbd.LoadTLS(m.certificates(), name); err != nil {
			return nil, "", fmt.Errorf(`tls="yes": %w`, err)
		}
	}
	c, err := m.connectNBD(ctx, n)
	if err != nil {
		return nil, "", err
	}
	return c, c.Name(), nil
}

// connectNBD connects to an NBD server, whose loss does not keep the machine from
// being closed.
func (m *Machine) connectNBD(ctx context.Context, o nbd.Options) (*nbd.Client, error) {
	c, err := nbd.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	m.connections = append(m.connections, c)
	return c, nil
}

// The directories in which libvirt and QEMU look for the certificates of NBD.
const (
	certificatesLibvirt = "/etc/pki/libvirt-nbd"
	certificatesQEMU    = "/etc/pki/qemu"
)

// certificates is the directory of the certificates for NBD.
func (m *Machine) certificates() string {
	if m.options.NBDCertificates != "" {
		return m.options.NBDCertificates
	}
	if _, err := os.Stat(certificatesLibvirt); errors.Is(err, fs.ErrNotExist) {
		return certificatesQEMU
	}
	return certificatesLibvirt
}
