package vmm

import (
	"context"
	"errors"
	"fmt"

	"github.com/govmm/govmm/domcfg"
)

// ErrEnded is the answer to what only a guest that has not ended can do, of a machine
// that is preserved after its guest's end.
var ErrEnded = errors.New("the guest has ended, and the machine is only kept to be looked at: it can be reset or destroyed")

// Start runs the machine. It returns at once; Wait tells the end.
func (m *Machine) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.started || m.closed {
		return errors.New("the machine was started before")
	}
	m.started = true
	m.state = StateRunning
	m.events.publish(Event{Kind: EventStarted})
	m.clock.Resume()
	for _, v := range m.cpus {
		m.threads.Go(v.run)
	}
	go m.supervise()
	return nil
}

// Wait waits for the end of a started machine and tells it, or for ctx.
func (m *Machine) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-m.ended:
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.exit, nil
	case <-ctx.Done():
		return Exit{}, context.Cause(ctx)
	}
}

// Run starts the machine and waits for its end. When ctx is done, the machine
// is stopped at once, and the Exit's cause is CauseStopped.
func (m *Machine) Run(ctx context.Context) (Exit, error) {
	if err := m.Start(); err != nil {
		return Exit{}, err
	}
	if exit, err := m.Wait(ctx); err == nil {
		return exit, nil
	}
	m.Destroy(context.Cause(ctx).Error())
	return m.Wait(context.Background())
}

// State is what the machine does now.
func (m *Machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Pause stops the vCPUs and the machine's clock. It returns when no guest code
// runs any more. Pausing a paused machine does nothing.
func (m *Machine) Pause(ctx context.Context) error {
	return m.do(ctx, func() error { return m.pause(nil) })
}

// pause stops the machine, because of a failure or, without one, on request.
func (m *Machine) pause(reason error) error {
	switch {
	case m.preserved != nil:
		return ErrEnded
	case m.dump != nil:
		m.dump.resume = false
		return nil
	case m.State() == StatePaused:
		return nil
	}
	m.gate.shut()
	m.gate.drain()
	m.clock.Pause()
	m.board.pause()
	var err error
	if m.paused, err = m.vm.Clock(); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	m.setState(StatePaused)
	m.events.publish(Event{Kind: EventPaused, Err: reason})
	return nil
}

// requestPause is how a device stops the machine until Resume: it returns at
// once, and no guest code runs after it.
func (m *Machine) requestPause(reason error) {
	select {
	case m.stops <- reason:
	default: // another device was first
	}
	m.gate.shut()
}

// Resume lets a paused machine go on. Its clocks go on from where they stopped.
// The error is ErrDumping while a core dump is written, and ErrEnded for a machine that
// is preserved.
func (m *Machine) Resume(ctx context.Context) error { return m.do(ctx, m.resume) }

func (m *Machine) resume() error {
	switch {
	case m.dump != nil:
		return ErrDumping
	case m.preserved != nil:
		return ErrEnded
	case m.State() != StatePaused:
		return nil
	}
	m.paused.Flags = 0
	if err := m.vm.SetClock(m.paused); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	for _, v := range m.cpus {
		// Refused by a vCPU that does not use kvmclock, which needs no telling.
		_ = v.kvm.KVMClockCtrl()
	}
	m.setState(StateRunning)
	m.events.publish(Event{Kind: EventResumed})
	m.clock.Resume()
	m.board.resume()
	m.gate.open()
	return nil
}

// Reset is the reset button: the machine starts anew at once, whatever the
// guest does and on_reboot says. A paused machine stays paused; one that is
// preserved runs again. The error is ErrDumping while a core dump is written.
func (m *Machine) Reset(ctx context.Context) error {
	return m.do(ctx, func() error {
		if m.dump != nil {
			return ErrDumping
		}
		if err := m.restart(ctx, Exit{}); err != nil {
			m.finish(Exit{Cause: CauseHost, Source: "reset", Detail: err.Error()})
			return err
		}
		return nil
	})
}

// Destroy stops the machine at once, like pulling the plug. reason becomes the
// Exit's Source, unless the guest had ended before and the machine was preserved. It returns when no guest code runs any more; on a machine that
// has ended, or never started, it does nothing.
func (m *Machine) Destroy(reason string) {
	// The only error is that the machine has ended by itself meanwhile.
	_ = m.do(context.Background(), func() error {
		e := Exit{Cause: CauseStopped, Source: reason}
		if m.preserved != nil {
			e = *m.preserved
		}
		m.finish(e)
		return nil
	})
}

// Close stops the machine, if it runs, and gives back everything it has: no
// goroutine, descriptor, mapping or file of it is left. Closing again does
// nothing.
func (m *Machine) Close() error {
	m.mu.Lock()
	first := !m.closed
	m.closed = true
	started := m.started
	m.mu.Unlock()
	if first {
		for _, c := range m.connections {
			c.GiveUp()
		}
	}
	if started {
		m.Destroy("closed")
		<-m.ended
	}
	if !first {
		return nil
	}
	m.events.close()
	return m.closer.Close()
}

// do runs f on the supervisor, which is the only goroutine that changes what
// the machine is doing, and returns its answer.
func (m *Machine) do(ctx context.Context, f func() error) error {
	m.mu.Lock()
	started := m.started
	m.mu.Unlock()
	if !started {
		return ErrNotRunning
	}
	answer := make(chan error, 1)
	select {
	case m.commands <- func() { answer <- f() }:
		return <-answer
	case <-m.ended:
		return ErrNotRunning
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// request is how the guest ends, or asks for a reset: called by a vCPU or a
// device, it stops all vCPUs and leaves the rest to the supervisor.
func (m *Machine) request(e Exit) {
	select {
	case m.requests <- e:
	default: // another vCPU was first
	}
	m.gate.shut()
}

// supervise carries out requests and commands, one at a time, until the
// machine has ended.
func (m *Machine) supervise() {
	defer close(m.ended)
	for !m.finished() {
		select {
		case e := <-m.requests:
			m.handle(e)
		case reason := <-m.stops:
			m.handleStop(reason)
		case f := <-m.commands:
			f()
		}
	}
}

// handleStop does what a device has stopped the machine for.
func (m *Machine) handleStop(reason error) {
	switch {
	case errors.Is(reason, errDumpWanted):
		m.gate.drain()
		m.autoDump(nil)
	case errors.Is(reason, errNMIWanted):
		if err := m.injectNMI(); err != nil {
			m.log.Error("no non-maskable interrupt for the guest", "error", err)
		}
	default:
		m.log.Warn("pausing the machine", "reason", reason)
		if err := m.pause(reason); err != nil {
			m.finish(Exit{Cause: CauseHost, Source: "pause", Detail: err.Error()})
		}
	}
}

// handle decides by the domain's lifecycle what follows from an exit.
func (m *Machine) handle(e Exit) {
	m.gate.drain()
	select {
	case <-m.requests: // of another vCPU, before it stopped
	default:
	}
	if m.dump != nil { // of a guest that was not quite stopped when the dump began
		m.dump.then = func() { m.handle(e) }
		return
	}
	if e.Cause == CausePowerOff && m.rebooting {
		e = Exit{Cause: CauseReset, Source: sourceReboot}
	}
	if e.Cause == CausePanic {
		m.events.publish(Event{Kind: EventPanicked, Exit: e})
	}
	action := m.action(e.Cause)
	if !dumps(action) {
		m.carryOut(e, action)
		return
	}
	m.hold(StateCrashed)
	m.autoDump(func() { m.carryOut(e, action) })
}

// carryOut does what the domain wants done after an exit.
func (m *Machine) carryOut(e Exit, a domcfg.Action) {
	switch a {
	case domcfg.ActionRestart, domcfg.ActionRenameRestart, domcfg.ActionCoredumpRestart:
		if err := m.startAnew(e, a); err != nil {
			m.finish(Exit{Cause: CauseHost, Source: e.Source, Detail: err.Error()})
		}
	case domcfg.ActionPreserve:
		m.preserve(e)
	default:
		m.finish(e)
	}
}

func (m *Machine) startAnew(e Exit, a domcfg.Action) error {
	if e.Detail != "" { // an end is told by Wait
		m.log.Warn("the guest died", "cause", e.Cause.String(), "source", e.Source, "detail", e.Detail)
	}
	if a == domcfg.ActionRenameRestart {
		if err := m.rename(); err != nil {
			return err
		}
	}
	m.log.Info("restarting", "cause", e.Cause.String(), "source", e.Source)
	if m.State() == StateCrashed { // and was dumped
		m.setState(StateRunning)
		m.board.resume()
	}
	return m.restart(context.Background(), e)
}

// hold stops all that still works in a machine whose guest has ended.
func (m *Machine) hold(s State) {
	m.clock.Pause()
	m.board.pause()
	m.setState(s)
}

// preserve keeps a machine whose guest has ended as it is, until it is destroyed or
// reset.
func (m *Machine) preserve(e Exit) {
	state := StateShutOff
	if e.Crashed() {
		state = StateCrashed
	}
	m.hold(state)
	m.preserved = &e
	m.log.Warn("the guest has ended, and the machine is kept until it is destroyed",
		"cause", e.Cause.String(), "source", e.Source, "detail", e.Detail)
	m.events.publish(Event{Kind: EventPreserved, Exit: e})
}

// action is what is done after an end of the given cause.
func (m *Machine) action(c Cause) domcfg.Action {
	a := m.configured(c)
	if m.ending {
		return lastAction(a)
	}
	return a
}

// configured is what the domain wants done after an end of the given cause.
func (m *Machine) configured(c Cause) domcfg.Action {
	switch c {
	case CausePowerOff:
		return m.domain.OnPoweroff
	case CauseReset:
		return m.domain.OnReboot
	case CausePanic, CauseInternalError, CauseFailedEntry:
		return m.domain.OnCrash
	}
	return domcfg.ActionDestroy
}

// finish ends the machine: no vCPU will run again.
func (m *Machine) finish(e Exit) {
	m.abandonDump()
	m.gate.end()
	m.threads.Wait()
	m.clock.Pause()
	m.mu.Lock()
	m.exit = e
	m.state = StateShutOff
	if e.Crashed() {
		m.state = StateCrashed
	}
	m.mu.Unlock()
	m.log.Info("ended", "cause", e.Cause.String(), "source", e.Source)
	m.events.publish(Event{Kind: EventEnded, Exit: e})
	m.events.close()
}

// finished reports whether finish was called.
func (m *Machine) finished() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.exit.Cause != 0
}

func (m *Machine) setState(s State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = s
}

func (m *Machine) hasACPI() bool { return m.domain.Features != nil && m.domain.Features.ACPI }
