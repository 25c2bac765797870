package vmm

import (
	"context"
	"errors"
	"fmt"
)

// sourceReboot is the Exit.Source of a guest that switched itself off for Reboot.
const sourceReboot = "power-off for a reboot"

// Reboot presses the power button, like Shutdown, and makes a reset of it when the
// guest has switched itself off, on which on_reboot decides.
func (m *Machine) Reboot(ctx context.Context) error { return m.press(ctx, "reboot", true) }

// Shutdown presses the power button. The guest is told through ACPI and does
// what it is set up to do; without <acpi/> it cannot be told, which is an error.
func (m *Machine) Shutdown(ctx context.Context) error { return m.press(ctx, "shutdown", false) }

func (m *Machine) press(ctx context.Context, what string, reboot bool) error {
	if !m.hasACPI() {
		return fmt.Errorf("%s: the domain has no <acpi/>, so its guest cannot be told", what)
	}
	return m.do(ctx, func() error {
		if m.preserved != nil {
			return ErrEnded
		}
		m.rebooting = reboot
		m.board.pressPowerButton()
		m.events.publish(Event{Kind: EventShutdown})
		return nil
	})
}

// InjectNMI gives each vCPU a non-maskable interrupt, which many systems take as a wish
// for a crash dump. A paused machine takes it when it goes on.
func (m *Machine) InjectNMI(ctx context.Context) error {
	return m.do(ctx, func() error {
		if m.preserved != nil {
			return ErrEnded
		}
		m.gate.shut() // KVM takes it of a vCPU that does not run
		m.gate.drain()
		var errs []error
		for _, v := range m.cpus {
			errs = append(errs, v.kvm.NMI())
		}
		if m.State() == StateRunning {
			m.gate.open()
		}
		return errors.Join(errs...)
	})
}
