package vmm

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/domcfg"
)

// DefaultTLSDir is Options.TLSDir when that is "".
const DefaultTLSDir = "/etc/pki/qemu"

// Chardev is the host end of a character device.
type Chardev struct {
	// Alias is the device's name: serial0.
	Alias string
	// Type is the type in the XML: pty, stdio, file, null, tcp and so on.
	Type string
	// Path is the file, the pty that the host chose, or the address of a socket.
	Path string
	// Listens says that clients connect to Path.
	Listens bool
	// Resizable says that ResizeConsole can tell the guest its size: it is a
	// virtio console.
	Resizable bool
}

// charDevice is a character device of the board.
type charDevice struct {
	Chardev
	backend chardev.Backend
	resize  func(columns, rows uint16) error // nil unless Resizable
}

// Chardevs lists the machine's character devices: the serial ports, then the
// others, in the order of the XML.
func (m *Machine) Chardevs() []Chardev {
	list := make([]Chardev, len(m.board.chardevs))
	for i, c := range m.board.chardevs {
		list[i] = c.Chardev
	}
	return list
}

// Console is the machine's first console, a serial port or a virtio console: what
// "virsh console" would open. ok is false when it has none.
func (m *Machine) Console() (c Chardev, ok bool) {
	for _, c := range m.board.chardevs {
		if strings.HasPrefix(c.Alias, "serial") || strings.HasPrefix(c.Alias, "console") {
			return c.Chardev, true
		}
	}
	return Chardev{}, false
}

// openChardev opens the host end that the XML asks for, and adds it to the board.
// patience is that with a client that does not read.
func (m *Machine) openChardev(name string, b *domcfg.CharBackend, patience time.Duration) (*charDevice, error) {
	o := chardev.Options{Name: name, Log: m.named(name)}
	if b.Log != nil {
		// What is added here first is closed last.
		copied, err := chardev.OpenLog(b.Log.File, b.Log.Append.Or(false))
		if err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		m.closer.add(copied.Close)
		o.Tee = copied
	}
	c := &charDevice{Chardev: Chardev{Alias: name, Type: string(b.Type), Path: b.SourcePath()}}
	var err error
	if c.backend, err = m.openBackend(&c.Chardev, b, o, patience); err != nil {
		return nil, err
	}
	m.closer.add(c.backend.Close)
	m.board.chardevs = append(m.board.chardevs, c)
	if b.Type == domcfg.CharPTY || c.Listens {
		o.Log.Info("clients can connect", "type", c.Type, "path", c.Path)
	}
	return c, nil
}

// openBackend opens a host end, and puts into c where it can be found.
func (m *Machine) openBackend(c *Chardev, b *domcfg.CharBackend, o chardev.Options, patience time.Duration) (chardev.Backend, error) {
	switch b.Type {
	case domcfg.CharNull:
		return chardev.NewNull(o), nil
	case domcfg.CharStdio:
		c.Path = ""
		return openedChar(chardev.NewStdio(chardev.StdioOptions{Options: o, In: m.options.Stdin, Out: m.options.Stdout}))
	case domcfg.CharFile:
		return openedChar(chardev.OpenFile(chardev.FileOptions{Options: o, Path: c.Path, Append: b.Sources[0].Append.Or(false)}))
	case domcfg.CharPTY:
		pty, err := chardev.OpenPty(chardev.PtyOptions{Options: o, Patience: patience})
		if err != nil {
			return nil, err
		}
		c.Path = pty.Name()
		return pty, nil
	case domcfg.CharDev:
		if strings.HasPrefix(o.Name, "parallel") {
			return openedChar(chardev.OpenHostParallel(chardev.HostParallelOptions{Options: o, Path: c.Path}))
		}
		return openedChar(chardev.OpenHostSerial(chardev.HostSerialOptions{Options: o, Path: c.Path, Patience: patience}))
	case domcfg.CharPipe:
		return openedChar(chardev.OpenPipe(chardev.PipeOptions{Options: o, Path: c.Path, Patience: patience}))
	case domcfg.CharVC:
		c.Path = ""
		if m.options.RuntimeDir != "" {
			c.Path, c.Listens = filepath.Join(m.options.RuntimeDir, o.Name+".sock"), true
		}
		return openedChar(chardev.OpenVC(chardev.VCOptions{Options: o, Path: c.Path}))
	case domcfg.CharTCP:
		return m.openTCP(c, b, o, patience)
	case domcfg.CharUnix:
		return m.openUnix(c, b, o, patience)
	case domcfg.CharUDP:
		peer, local := b.Source(domcfg.ModeConnect), b.Source(domcfg.ModeBind)
		u := chardev.UDPOptions{Options: o, Peer: address(cmp.Or(peer.Host, "127.0.0.1"), peer.Service)}
		if local != nil {
			u.Local = address(local.Host, cmp.Or(local.Service, "0"))
		}
		c.Path = u.Peer
		return openedChar(chardev.OpenUDP(u))
	}
	return nil, fmt.Errorf("type %q has no host end in this version", b.Type)
}

// openedChar keeps a nil pointer from becoming a Backend that is not nil.
func openedChar[B chardev.Backend](b B, err error) (chardev.Backend, error) {
	if err != nil {
		return nil, err
	}
	return b, nil
}

// openTCP opens a TCP socket, with what its protocol asks for.
func (m *Machine) openTCP(c *Chardev, b *domcfg.CharBackend, o chardev.Options, patience time.Duration) (chardev.Backend, error) {
	source := b.Sources[0]
	s := chardev.SocketOptions{
		Options: o, Network: "tcp", Address: address(source.Host, source.Service),
		Listen:   source.Mode == domcfg.ModeBind,
		Telnet:   strings.HasPrefix(b.Protocol, "telnet"),
		Patience: patience,
	}
	if b.Protocol == "tls" || b.Protocol == "telnets" {
		var err error
		if s.TLS, err = m.charTLS(s.Listen, source.Host); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
	}
	socket, err := chardev.OpenSocket(s)
	if err != nil {
		return nil, err
	}
	c.Path, c.Listens = s.Address, s.Listen
	if s.Listen {
		c.Path = socket.Addr().String()
	}
	return socket, nil
}

// charTLS is the TLS of a character device.
func (m *Machine) charTLS(listen bool, host string) (*tls.Config, error) {
	dir := cmp.Or(m.options.TLSDir, DefaultTLSDir)
	if listen {
		return chardev.ServerTLS(dir)
	}
	return chardev.ClientTLS(dir, host)
}

// openUnix opens a unix socket. A channel without a path gets one made up, to
// which clients connect.
func (m *Machine) openUnix(c *Chardev, b *domcfg.CharBackend, o chardev.Options, patience time.Duration) (chardev.Backend, error) {
	c.Listens = b.Source(domcfg.ModeBind) != nil
	if c.Path == "" {
		if m.options.RuntimeDir == "" {
			return nil, errors.New("a <source> with a path is missing, and there is no directory to make one up in")
		}
		c.Path, c.Listens = filepath.Join(m.options.RuntimeDir, c.Alias+".sock"), true
	}
	return openedChar(chardev.OpenSocket(chardev.SocketOptions{
		Options: o, Network: "unix", Address: c.Path, Listen: c.Listens, Patience: patience,
	}))
}

// ConsoleText returns what the screen of a character device of type vc shows, line
// by line. The error is ErrNoDevice for any other.
func (m *Machine) ConsoleText(device string) (string, error) {
	c, err := m.chardev(device)
	if err != nil {
		return "", err
	}
	vc, ok := c.backend.(*chardev.VC)
	if !ok {
		return "", fmt.Errorf("%s is of type %s and has no screen, as vc has: %w", device, c.Type, ErrNoDevice)
	}
	return vc.Text(), nil
}

// address is host:service.
func address(host, service string) string { return net.JoinHostPort(host, service) }
