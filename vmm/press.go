package vmm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/govmm/govmm/domcfg"
)

// ErrNoPowerButton is the answer of a machine whose guest cannot be told to shut down.
var ErrNoPowerButton = errors.New("the domain has no <acpi/>, so its guest cannot be told")

// sourceReboot is the Exit.Source of a guest that switched itself off for Reboot.
const sourceReboot = "power-off for a reboot"

// pressAgain is the time until Shutdown presses the power button of a guest once more
// that did not listen to it.
const pressAgain = time.Second

// PressPowerButton presses the power button. The guest is told through ACPI and does
// what it is set up to do. The error is ErrNoPowerButton for a domain without <acpi/>.
func (m *Machine) PressPowerButton(ctx context.Context) error {
	_, err := m.press(ctx, "power button", func() { m.rebooting = false })
	return err
}

// Reboot presses the power button, and makes a reset of it when the guest has switched
// itself off, on which on_reboot decides.
func (m *Machine) Reboot(ctx context.Context) error {
	_, err := m.press(ctx, "reboot", func() { m.rebooting = true })
	return err
}

// Shutdown ends the machine in an orderly way: it presses the power button, until the
// guest listens, and waits for its end. Whatever end that is, the machine ends with it and
// does not start anew, nor is it preserved; a core dump that on_crash asks for is written.
// A machine that was preserved ends at once.
//
// A paused guest cannot listen before somebody calls Resume. The error is
// ErrNoPowerButton at once, or the cause of ctx when that is done first: then the
// machine goes on, and there is Destroy.
func (m *Machine) Shutdown(ctx context.Context) error {
	heard, err := m.press(ctx, "shutdown", func() { m.ending, m.rebooting = true, false })
	if errors.Is(err, ErrEnded) {
		m.Destroy("shutdown")
		return nil
	}
	if err != nil {
		return err
	}
	again := time.NewTicker(pressAgain)
	defer again.Stop()
	for {
		select {
		case <-m.ended:
			return nil
		case <-again.C:
			if heard {
				continue
			}
			// It fails only when the machine has ended, or ctx is done.
			_ = m.do(ctx, func() error { heard = m.board.pressPowerButton(); return nil })
		case <-ctx.Done():
			goOn := func() error { m.ending = false; return nil }
			if errors.Is(m.do(context.WithoutCancel(ctx), goOn), ErrNotRunning) {
				return nil // it has ended just in time
			}
			return fmt.Errorf("shutdown: %w", context.Cause(ctx))
		}
	}
}

// press presses the power button once, after the supervisor has called note, and tells
// whether the guest listened.
func (m *Machine) press(ctx context.Context, what string, note func()) (heard bool, err error) {
	if !m.hasACPI() {
		return false, fmt.Errorf("%s: %w", what, ErrNoPowerButton)
	}
	err = m.do(ctx, func() error {
		if m.preserved != nil {
			return ErrEnded
		}
		note()
		heard = m.board.pressPowerButton()
		m.events.publish(Event{Kind: EventShutdown})
		return nil
	})
	return heard, err
}

// lastAction is what an action comes to when the machine is to end with its guest.
func lastAction(a domcfg.Action) domcfg.Action {
	if dumps(a) {
		return domcfg.ActionCoredumpDestroy
	}
	return domcfg.ActionDestroy
}

// InjectNMI gives each vCPU a non-maskable interrupt, which many systems take as a wish
// for a crash dump. A paused machine takes it when it goes on.
func (m *Machine) InjectNMI(ctx context.Context) error {
	return m.do(ctx, func() error {
		if m.preserved != nil {
			return ErrEnded
		}
		return m.injectNMI()
	})
}

// injectNMI is InjectNMI on the supervisor.
func (m *Machine) injectNMI() error {
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
}
