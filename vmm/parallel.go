package vmm

import (
	"context"
	"fmt"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/parallel"
	"github.com/govmm/govmm/domcfg"
)

// lpt is a parallel port of a PC.
type lpt struct {
	number int // 0 is LPT1
	base   uint16
	irq    int
}

// lptPort is the port that a parallel device of a validated domain has.
func lptPort(p *domcfg.Parallel) (port lpt, ok bool) {
	all := [...]lpt{{0, 0x378, 7}, {1, 0x278, 5}, {2, 0x3BC, 7}}
	if p.Port == nil || *p.Port >= uint(len(all)) {
		return lpt{}, false
	}
	return all[*p.Port], true
}

// addParallels adds the parallel ports.
func (m *Machine) addParallels(_ context.Context, w *wiring) error {
	for i, p := range m.domain.Devices.Parallels {
		if err := m.addParallel(w, p, i); err != nil {
			return fmt.Errorf("devices/parallel[%d]: %w", i+1, err)
		}
	}
	return nil
}

func (m *Machine) addParallel(w *wiring, p *domcfg.Parallel, index int) error {
	port, ok := lptPort(p)
	if !ok {
		return fmt.Errorf("a PC has only LPT1 to LPT3, ports 0 to 2")
	}
	name := fmt.Sprintf("parallel%d", index)
	char, err := m.openChardev(name, &p.CharBackend, chardev.DefaultPatience)
	if err != nil {
		return err
	}
	device := parallel.New(parallel.Options{Line: w.line(port.irq), Backend: char.backend})
	m.board.resets(device)
	return m.addPorts(ports{uint64(port.base), parallel.Size, name, device})
}
