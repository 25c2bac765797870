package vmm

import (
	"context"
	"fmt"
	"time"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/serial"
	"github.com/govmm/govmm/domcfg"
)

// com is a serial port of a PC.
type com struct {
	number int // 0 is COM1
	base   uint16
	irq    int
}

// comPort is the port that a serial device of the domain has: what it asks for,
// or that of its place in the list. ok is false for one that no PC has.
func comPort(s *domcfg.Serial, index int) (port com, ok bool) {
	number := index
	if s.Port != nil {
		number = int(*s.Port)
	}
	all := [...]com{{0, 0x3F8, 4}, {1, 0x2F8, 3}, {2, 0x3E8, 4}, {3, 0x2E8, 3}}
	if number < 0 || number >= len(all) {
		return com{}, false
	}
	return all[number], true
}

// Chardev is the host end of a character device.
type Chardev struct {
	// Alias is the device's name: serial0.
	Alias string
	// Type is the type in the XML: pty, stdio, file, null.
	Type string
	// Path is the file, or the pty that the host chose.
	Path string
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

// Chardevs lists the machine's character devices in the order of the XML.
func (m *Machine) Chardevs() []Chardev {
	list := make([]Chardev, len(m.board.chardevs))
	for i, c := range m.board.chardevs {
		list[i] = c.Chardev
	}
	return list
}

// Console is the machine's first console: what "virsh console" would open. ok
// is false when it has none.
func (m *Machine) Console() (c Chardev, ok bool) {
	if len(m.board.chardevs) == 0 {
		return Chardev{}, false
	}
	return m.board.chardevs[0].Chardev, true
}

// addSerials adds the serial ports that the domain lists. A console of target
// type serial is the first of them under another name.
func (m *Machine) addSerials(_ context.Context, w *wiring) error {
	for i, s := range m.domain.Devices.Serials {
		if err := m.addSerial(w, s, i); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) addSerial(w *wiring, s *domcfg.Serial, index int) error {
	port, ok := comPort(s, index)
	if !ok {
		return fmt.Errorf("devices/serial[%d]: a PC has only COM1 to COM4, ports 0 to 3", index+1)
	}
	name := fmt.Sprintf("serial%d", index)
	log := m.named(name)
	backend, path, err := m.openChardev(&s.CharBackend, chardev.Options{Name: name, Log: log}, chardev.DefaultPatience)
	if err != nil {
		return fmt.Errorf("devices/serial[%d]: %w", index+1, err)
	}
	m.closer.add(backend.Close)
	uart := serial.New(serial.Options{Name: name, Line: w.line(port.irq), Backend: backend, Clock: m.clock, Log: log})
	m.board.resets(uart)
	m.board.chardevs = append(m.board.chardevs, &charDevice{
		Chardev: Chardev{Alias: name, Type: string(s.Type), Path: path},
		backend: backend,
	})
	if s.Type == domcfg.CharPTY {
		log.Info("serial port on a pseudo-terminal", "path", path)
	}
	return m.addPorts(ports{uint64(port.base), serial.Size, name, uart})
}

// openChardev opens the host end that the XML asks for. path is where it can be
// found, if anywhere; patience is a pty's with a client that does not read.
func (m *Machine) openChardev(b *domcfg.CharBackend, o chardev.Options, patience time.Duration) (c chardev.Backend, path string, err error) {
	switch b.Type {
	case domcfg.CharNull:
		return chardev.NewNull(o), "", nil
	case domcfg.CharStdio:
		c, err = chardev.NewStdio(chardev.StdioOptions{Options: o, In: m.options.Stdin, Out: m.options.Stdout})
		return c, "", err
	case domcfg.CharFile:
		c, err = chardev.OpenFile(chardev.FileOptions{Options: o, Path: b.SourcePath()})
		return c, b.SourcePath(), err
	case domcfg.CharPTY:
		pty, err := chardev.OpenPty(chardev.PtyOptions{Options: o, Patience: patience})
		if err != nil {
			return nil, "", err
		}
		return pty, pty.Name(), nil
	}
	return nil, "", fmt.Errorf("type %q has no host end in this version", b.Type)
}
