package vmm

import (
	"errors"
	"fmt"
)

// ErrNameTaken is part of what Options.Rename answers for a name that another machine
// has.
var ErrNameTaken = errors.New("the name is taken")

// maxNames is how many names are tried for a machine that needs another one.
const maxNames = 1000

// Name is the domain's name, or what a restart by rename-restart has made of it: the
// name, a hyphen, and the number of the restart, from 1. Numbers that are taken are
// passed over.
func (m *Machine) Name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.name
}

// rename gives the machine its next name.
func (m *Machine) rename() error {
	for range maxNames {
		m.restarts++
		name := fmt.Sprintf("%s-%d", m.domain.Name, m.restarts)
		if m.options.Rename != nil {
			err := m.options.Rename(name)
			if errors.Is(err, ErrNameTaken) {
				continue
			}
			if err != nil {
				return fmt.Errorf("no new name for the machine: %w", err)
			}
		}
		m.mu.Lock()
		m.name = name
		m.mu.Unlock()
		m.renameThreads()
		m.log.Info("the machine has another name", "name", name)
		m.events.publish(Event{Kind: EventRenamed, Name: name})
		return nil
	}
	return fmt.Errorf("no new name for the machine: %d names after %s-N are taken", maxNames, m.domain.Name)
}
