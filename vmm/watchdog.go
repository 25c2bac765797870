package vmm

import (
	"context"
	"errors"
	"fmt"

	"github.com/govmm/govmm/devices/watchdog"
	"github.com/govmm/govmm/domcfg"
)

// ErrWatchdog is why a machine was paused by its watchdog: the Err of EventPaused.
var ErrWatchdog = errors.New("the watchdog has fired")

// sourceWatchdog is the Exit.Source of a guest that its watchdog ended or reset.
const sourceWatchdog = "watchdog"

// addWatchdog adds the watchdog timer, of which a domain has one at most.
func (m *Machine) addWatchdog(context.Context) error {
	for _, w := range m.domain.Devices.Watchdogs {
		if err := m.addWatchdogModel(w); err != nil {
			return fmt.Errorf("devices/watchdog: %w", err)
		}
	}
	return nil
}

func (m *Machine) addWatchdogModel(w *domcfg.Watchdog) error {
	m.watchdogAction.Store(w.Action)
	if w.Model == domcfg.WatchdogIB700 {
		timer := watchdog.NewIB700(watchdog.IB700Options{Clock: m.clock, Fired: m.watchdogFired})
		m.board.resets(timer)
		return m.addPorts(
			ports{watchdog.IB700StopPort, 1, "ib700 stop", timer.StopPort()},
			ports{watchdog.IB700StartPort, 1, "ib700 start", timer.StartPort()},
		)
	}
	place, err := pciAddress(w.Address)
	if err != nil {
		return err
	}
	timer, err := watchdog.NewI6300ESB(watchdog.I6300ESBOptions{
		Name: "watchdog0", Clock: m.clock, Fired: m.watchdogFired, Log: m.log,
	})
	if err != nil {
		return err
	}
	return m.board.pci.Add(timer, int(place.Slot), int(place.Function))
}

// SetWatchdogAction changes what follows when the watchdog fires, like <watchdog
// action=>, from now on. The error is ErrNoDevice for a machine without a watchdog.
func (m *Machine) SetWatchdogAction(action domcfg.WatchdogAction) error {
	if len(m.domain.Devices.Watchdogs) == 0 {
		return fmt.Errorf("the domain has no watchdog: %w", ErrNoDevice)
	}
	if !action.Known() {
		return fmt.Errorf("watchdog action %q is not one of %v", action, domcfg.WatchdogActions())
	}
	m.watchdogAction.Store(action)
	return nil
}

// watchdogFired does what the domain wants done when the guest has not answered its
// watchdog. It runs on the clock's goroutine and waits for nothing.
func (m *Machine) watchdogFired() {
	action := m.watchdogAction.Load().(domcfg.WatchdogAction)
	m.log.Warn("the watchdog has fired", "action", string(action))
	m.events.publish(Event{Kind: EventWatchdog, Action: action})
	switch action {
	case domcfg.WatchdogReset:
		m.resetBy(sourceWatchdog)
	case domcfg.WatchdogPoweroff:
		m.request(Exit{Cause: CausePowerOff, Source: sourceWatchdog})
	case domcfg.WatchdogShutdown:
		if !m.board.pressPowerButton() {
			m.log.Warn("the guest does not listen to its power button, which the watchdog has pressed")
		}
		m.events.publish(Event{Kind: EventShutdown})
	case domcfg.WatchdogPause:
		m.requestPause(ErrWatchdog)
	case domcfg.WatchdogDump:
		m.requestPause(errDumpWanted)
	case domcfg.WatchdogInjectNMI:
		m.requestPause(errNMIWanted)
	case domcfg.WatchdogNone:
	}
}
