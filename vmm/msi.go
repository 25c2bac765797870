package vmm

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/kvm"
)

// messages sends MSIs, and makes the interrupts that a backend in the kernel
// raises by itself: each a GSI beyond the I/O APIC's, routed to a message.
type messages struct {
	vm  *kvm.VM
	log *slog.Logger

	mu     sync.Mutex
	routes map[uint32]kvm.Route // of the vectors, by GSI
	taken  map[uint32]bool
}

func newMessages(vm *kvm.VM, log *slog.Logger) *messages {
	return &messages{vm: vm, log: log, routes: make(map[uint32]kvm.Route), taken: make(map[uint32]bool)}
}

var (
	_ irq.MSI     = (*messages)(nil)
	_ irq.Vectors = (*messages)(nil)
	_ irq.Vector  = (*vector)(nil)
)

// Send delivers a message now.
func (s *messages) Send(addr uint64, data uint32) bool {
	delivered, err := s.vm.SignalMSI(addr, data)
	if err != nil {
		s.log.Error("interrupt message lost", "address", addr, "data", data, "error", err)
	}
	return delivered
}

// vectorGSIs bounds the GSIs of vectors, which KVM keeps one table for.
const vectorGSIs = 1024

// NewVector makes a masked vector. There are 1000 for a machine.
func (s *messages) NewVector() (irq.Vector, error) {
	event, err := kvm.NewEventFD()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for gsi := uint32(kvm.IOAPICPins); gsi < vectorGSIs; gsi++ {
		if !s.taken[gsi] {
			s.taken[gsi] = true
			return &vector{messages: s, gsi: gsi, event: event}, nil
		}
	}
	return nil, errors.Join(errors.New("all interrupt vectors for backends in the kernel are taken"), event.Close())
}

// route replaces one route, or removes it, and tells KVM all of them. mu is held.
func (s *messages) route(gsi uint32, r *kvm.Route) error {
	old, had := s.routes[gsi]
	if r != nil {
		s.routes[gsi] = *r
	} else {
		delete(s.routes, gsi)
	}
	all := routes()
	for _, r := range s.routes {
		all = append(all, r)
	}
	err := s.vm.SetGSIRouting(all)
	if err != nil && had {
		s.routes[gsi] = old
	} else if err != nil {
		delete(s.routes, gsi)
	}
	return err
}

// vector is an eventfd that interrupts the guest by way of an irqfd.
type vector struct {
	*messages
	gsi   uint32
	event *kvm.EventFD

	// The following are under messages.mu.
	assigned bool
	closed   bool
}

// FD is the eventfd that the backend signals.
func (v *vector) FD() int { return v.event.FD() }

// Route lets signals become the message.
func (v *vector) Route(addr uint64, data uint32) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return os.ErrClosed
	}
	r := kvm.RouteToMSI(v.gsi, addr, data)
	err := v.route(v.gsi, &r)
	if err == nil && !v.assigned {
		err = v.vm.AssignIRQFD(v.event.FD(), v.gsi)
		v.assigned = err == nil
	}
	if err != nil {
		return fmt.Errorf("interrupt vector: %w", errors.Join(err, v.mask()))
	}
	return nil
}

// Mask ends the route.
func (v *vector) Mask() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mask()
}

func (v *vector) mask() error {
	if !v.assigned {
		return nil
	}
	v.assigned = false
	return v.vm.DeassignIRQFD(v.event.FD(), v.gsi)
}

// Wait takes a signal of a masked vector.
func (v *vector) Wait() error {
	_, err := v.event.Wait()
	return err
}

// Close gives the vector back.
func (v *vector) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.closed = true
	err := v.mask()
	if _, routed := v.routes[v.gsi]; routed {
		err = errors.Join(err, v.route(v.gsi, nil))
	}
	delete(v.taken, v.gsi)
	return errors.Join(err, v.event.Close())
}
