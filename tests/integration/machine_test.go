package integration

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

// machine is a machine of the library with its console.
type machine struct {
	*guest
	*vmm.Machine
	closeInput func() error
}

// newMachine builds a machine whose serial console is of type stdio. The end of
// the test closes it.
func newMachine(t *testing.T, d domain) *machine {
	t.Helper()
	return newMachineOf(t, d.xml(t))
}

// newMachineOf is newMachine with a whole domain file.
func newMachineOf(t *testing.T, xml string) *machine {
	t.Helper()
	return newMachineWith(t, xml, vmm.Options{})
}

// newMachineWith is newMachineOf with more options than the console.
func newMachineWith(t *testing.T, xml string, o vmm.Options) *machine {
	t.Helper()
	stdin, keyboard := io.Pipe()
	g := newGuest(t, keyboard)
	o.Stdin, o.Stdout = stdin, g.out
	m := buildMachineOf(t, xml, o)
	m.guest, m.closeInput = g, keyboard.Close
	return m
}

// buildMachine builds a machine without a console. The end of the test closes
// it.
func buildMachine(t *testing.T, d domain, o vmm.Options) *machine {
	t.Helper()
	return buildMachineOf(t, d.xml(t), o)
}

func buildMachineOf(t *testing.T, xml string, o vmm.Options) *machine {
	t.Helper()
	config, warnings, err := domcfg.Parse("vm.xml", strings.NewReader(xml))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("%v", w)
	}
	log := newTranscript()
	o.Log = slog.New(slog.NewTextHandler(log, nil))
	m := &machine{closeInput: func() error { return nil }}
	m.Machine, err = vmm.New(t.Context(), config, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && m.State() != vmm.StateShutOff {
			diagnose(t, os.Getpid())
		}
		m.shut()
		if t.Failed() {
			t.Logf("the machine's log:\n%s", log.tail())
		}
	})
	return m
}

// shut gives back all the machine has, and its console.
func (m *machine) shut() {
	m.t.Helper()
	if err := errors.Join(m.Close(), m.closeInput()); err != nil {
		m.t.Errorf("close: %v", err)
	}
	m.out.end()
}

// ends waits for the machine's end and checks its cause.
func (m *machine) ends(cause vmm.Cause, source string) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), waitTime)
	defer cancel()
	exit, err := m.Wait(ctx)
	if err != nil {
		m.t.Fatalf("the machine does not end: %v", err)
	}
	if exit.Cause != cause || exit.Source != source {
		m.t.Errorf("ended by %v, want %v (%s)", exit, cause, source)
	}
}

// event waits for an event that is wanted.
func (m *machine) event(events <-chan vmm.Event, what string, wanted func(vmm.Event) bool) vmm.Event {
	m.t.Helper()
	timeout := time.NewTimer(waitTime)
	defer timeout.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				m.t.Fatalf("no event of %s: the machine has ended", what)
			}
			if wanted(e) {
				return e
			}
		case <-timeout.C:
			m.t.Fatalf("no event of %s", what)
		}
	}
}
