package vmm

import (
	"fmt"
	"sync"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/kvm"
)

// slots numbers the memory slots of a machine.
type slots struct {
	vm *kvm.VM

	mu   sync.Mutex
	next uint32
	free []uint32
}

// add maps host memory into the guest's physical address space and returns the
// number of the slot.
func (s *slots) add(gpa uint64, host []byte, flags kvm.MemFlags) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, recycled := s.next, len(s.free) > 0
	if recycled {
		n = s.free[len(s.free)-1]
	}
	if err := s.vm.SetMemorySlot(kvm.MemorySlot{Slot: n, Flags: flags, GPA: gpa, Host: host}); err != nil {
		return 0, fmt.Errorf("memory at %#x: %w", gpa, err)
	}
	if recycled {
		s.free = s.free[:len(s.free)-1]
	} else {
		s.next++
	}
	return n, nil
}

// remove takes a slot away. When it returns, no vCPU reaches its memory any more.
func (s *slots) remove(n uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.vm.DeleteMemorySlot(n); err != nil {
		return err
	}
	s.free = append(s.free, n)
	return nil
}

// window is device memory that the guest maps wherever it likes, such as a
// framebuffer behind a BAR.
type window struct {
	slots *slots
	host  []byte
	log   *bus.GuestLog

	mu     sync.Mutex
	slot   uint32
	mapped bool
}

// move maps the memory at base, or nowhere.
func (w *window) move(base uint64, mapped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mapped {
		w.mapped = false
		if err := w.slots.remove(w.slot); err != nil {
			w.complain(err)
			return
		}
	}
	if !mapped {
		return
	}
	slot, err := w.slots.add(base, w.host, 0)
	if err != nil {
		w.complain(err) // the guest put it over its RAM, say
		return
	}
	w.slot, w.mapped = slot, true
}

func (w *window) complain(err error) {
	if w.log.Allow() {
		w.log.Warn("device memory is not mapped: accesses to it are slow", "error", err)
	}
}
