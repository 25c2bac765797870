package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long another signal has no effect after one that had: timeout and
// systemd send theirs twice. Later, one cuts short what the one before has begun: a
// guest's shutdown, or taking the machine down.
const patience = time.Second

// stopError is why a machine was stopped from outside.
type stopError struct {
	signal unix.Signal
	reason string
}

func (e *stopError) Error() string { return e.reason }

// signals is what signals do to the machine, and have done so far.
type signals struct {
	stop context.CancelCauseFunc // at once
	tty  *terminal               // nil, or the guest's console

	mu      sync.Mutex
	orderly func(*stopError) // nil while there is no guest to be asked

	// Of the goroutine that takes the signals:
	first   unix.Signal // that stops the machine; 0 for none yet
	stopped bool        // at once
	since   time.Time   // the last one that had an effect came
}

// handleSignals makes signals stop the machine, or suspend this job, until the
// process ends: one that comes while it takes itself down must not kill it with
// another exit code. tty is nil or the guest's console.
func handleSignals(stop context.CancelCauseFunc, tty *terminal) *signals {
	// A write to a pipe that nobody reads is an error, which is logged, and not
	// the end of the machine.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)

	wanted := []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}
	if tty != nil {
		wanted = append(wanted, unix.SIGTSTP, unix.SIGCONT)
	}
	// nohup, and a shell that starts a job in the background, want them ignored.
	wanted = slices.DeleteFunc(wanted, signal.Ignored)
	ch := make(chan os.Signal, len(wanted))
	if len(wanted) > 0 { // none would mean all
		signal.Notify(ch, wanted...)
	}
	s := &signals{stop: stop, tty: tty}
	go func() {
		for sig := range ch {
			s.handle(sig.(unix.Signal))
		}
	}()
	return s
}

// shutDownBy makes f, which may wait, the answer to the first signal that asks for an
// orderly end.
func (s *signals) shutDownBy(f func(*stopError)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orderly = f
}

func (s *signals) handle(sig unix.Signal) {
	switch {
	case sig == unix.SIGTSTP:
		s.tty.suspend()
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP) // cannot fail
	case sig == unix.SIGCONT:
		// The machine goes on without it if the terminal is gone: SIGHUP follows.
		_ = s.tty.makeRaw()
	case s.first != 0 && time.Since(s.since) <= patience:
	case s.stopped:
		if s.tty != nil {
			s.tty.restore()
		}
		os.Exit(exitSignal + int(s.first))
	default:
		s.end(sig)
	}
}

// end ends the machine: the first signal may do so in an orderly way.
func (s *signals) end(sig unix.Signal) {
	reason := &stopError{sig, "stopped by " + unix.SignalName(sig)}
	s.mu.Lock()
	orderly := s.orderly
	s.mu.Unlock()
	s.since = time.Now()
	if s.first == 0 {
		s.first = sig
		if orderly != nil && !s.urgent(sig) {
			go orderly(reason)
			return
		}
	}
	s.stopped = true
	s.stop(reason)
}

// urgent reports whether a signal stops the machine at once: those that a terminal
// sends. SIGINT is one of them only where Ctrl-C can have been typed.
func (s *signals) urgent(sig unix.Signal) bool {
	switch sig {
	case unix.SIGTERM:
		return false
	case unix.SIGINT:
		return s.tty == nil && atTerminal() // in raw mode, Ctrl-C is the guest's
	}
	return true
}

// atTerminal reports whether this job is in the foreground of a terminal.
func atTerminal() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	foreground := false
	descriptor(tty, func(fd int) {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		foreground = err == nil && group == unix.Getpgrp()
	})
	return foreground
}
