package kvm

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func newEventFD(t *testing.T) *EventFD {
	t.Helper()
	e, err := NewEventFD()
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	return e
}

func TestEventFD(t *testing.T) {
	e := newEventFD(t)
	if n, err := e.TryWait(); n != 0 || err != nil {
		t.Errorf("new: %d, %v", n, err)
	}
	for range 3 {
		must(t, e.Signal())
	}
	if n, err := e.Wait(); n != 3 || err != nil {
		t.Errorf("three signals: %d, %v", n, err)
	}
	must(t, e.Signal())
	if n, err := e.TryWait(); n != 1 || err != nil {
		t.Errorf("one signal: %d, %v", n, err)
	}

	got := make(chan uint64)
	go func() {
		n, _ := e.Wait()
		got <- n
	}()
	must(t, e.Signal())
	if n := <-got; n != 1 {
		t.Errorf("waiting: %d", n)
	}
}

func TestEventFDClose(t *testing.T) {
	e := newEventFD(t)
	done := make(chan error)
	go func() {
		_, err := e.Wait()
		done <- err
	}()
	must(t, e.Close())
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait over Close: %v, want os.ErrClosed", err)
	}
	if err := e.Signal(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Signal after Close: %v, want os.ErrClosed", err)
	}
	if _, err := e.TryWait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("TryWait after Close: %v, want os.ErrClosed", err)
	}
}

func TestEventFDAllocs(t *testing.T) {
	e := newEventFD(t)
	if n := testing.AllocsPerRun(100, func() {
		must(t, e.Signal())
		if _, err := e.Wait(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a signal and wait", n)
	}
}

// TestIOEvent: the doorbell's writes do not reach us, the others do.
func TestIOEvent(t *testing.T) {
	code := []byte{
		0xb8, 0x00, 0xf0, // mov ax, 0xf000
		0x8e, 0xd8, // mov ds, ax
		0xb8, 0x07, 0x00, // mov ax, 7
		0xe7, 0x10, // out 0x10, ax
		0xa3, 0x40, 0x00, // mov [0x40], ax
		0xb8, 0x08, 0x00, // mov ax, 8
		0xe7, 0x10, // out 0x10, ax
		0xa3, 0x40, 0x00, // mov [0x40], ax
		0xf4, // hlt
	}
	tests := []struct {
		name  string
		event IOEvent
		want  []ExitReason
		rings uint64
	}{
		{"port, any length", IOEvent{Addr: 0x10, PIO: true}, []ExitReason{ExitMMIO, ExitMMIO, ExitHLT}, 2},
		{"port, 2 bytes", IOEvent{Addr: 0x10, PIO: true, Len: 2}, []ExitReason{ExitMMIO, ExitMMIO, ExitHLT}, 2},
		{"port, 4 bytes", IOEvent{Addr: 0x10, PIO: true, Len: 4},
			[]ExitReason{ExitIO, ExitMMIO, ExitIO, ExitMMIO, ExitHLT}, 0},
		{"port, value 7", IOEvent{Addr: 0x10, PIO: true, Len: 2, Match: true, Data: 7},
			[]ExitReason{ExitMMIO, ExitIO, ExitMMIO, ExitHLT}, 1},
		{"memory, any length", IOEvent{Addr: 0xf0040}, []ExitReason{ExitIO, ExitIO, ExitHLT}, 2},
		{"memory, value 8", IOEvent{Addr: 0xf0040, Len: 2, Match: true, Data: 8},
			[]ExitReason{ExitIO, ExitMMIO, ExitIO, ExitHLT}, 1},
		{"another port", IOEvent{Addr: 0x14, PIO: true},
			[]ExitReason{ExitIO, ExitMMIO, ExitIO, ExitMMIO, ExitHLT}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lockThread(t)
			g := newGuest(t, guestConfig{}, code...)
			e := newEventFD(t)
			tt.event.FD = e.FD()
			must(t, g.vm.AssignIOEvent(tt.event))
			for _, reason := range tt.want {
				g.run(t, reason)
			}
			if n, err := e.TryWait(); n != tt.rings || err != nil {
				t.Errorf("%d rings, %v; want %d", n, err, tt.rings)
			}
			if err := g.vm.AssignIOEvent(tt.event); !errors.Is(err, unix.EEXIST) {
				t.Errorf("the same again: %v, want EEXIST", err)
			}
			must(t, g.vm.DeassignIOEvent(tt.event))
			if err := g.vm.DeassignIOEvent(tt.event); !errors.Is(err, unix.ENOENT) {
				t.Errorf("deassigning twice: %v, want ENOENT", err)
			}
		})
	}
	g := newGuest(t, guestConfig{noCPU: true})
	e := newEventFD(t)
	for name, event := range map[string]IOEvent{
		"length 3":             {FD: e.FD(), Addr: 0x10, PIO: true, Len: 3},
		"match without length": {FD: e.FD(), Addr: 0x10, PIO: true, Match: true, Data: 1},
		"wraps around":         {FD: e.FD(), Addr: ^uint64(0), Len: 8},
	} {
		if err := g.vm.AssignIOEvent(event); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v, want EINVAL", name, err)
		}
	}
}

func BenchmarkEventFDSignal(b *testing.B) {
	e, err := NewEventFD()
	must(b, err)
	defer e.Close()
	b.ReportAllocs()
	for b.Loop() {
		must(b, e.Signal())
	}
}
