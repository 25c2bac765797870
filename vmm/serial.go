package vmm

import (
	"context"
	"fmt"

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
	char, err := m.openChardev(name, &s.CharBackend, chardev.DefaultPatience)
	if err != nil {
		return fmt.Errorf("devices/serial[%d]: %w", index+1, err)
	}
	uart := serial.New(serial.Options{Name: name, Line: w.line(port.irq), Backend: char.backend, Clock: m.clock, Log: log})
	m.board.resets(uart)
	return m.addPorts(ports{uint64(port.base), serial.Size, name, uart})
}
