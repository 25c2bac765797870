package pci

import (
	"sync"

	"github.com/govmm/govmm/devices/bus"
)

// IOEvent is a guest write that signals an eventfd instead of being handled.
type IOEvent struct {
	Port   bool   // of the port bus; else memory
	Addr   uint64 // where the write goes
	Length int    // of the write in bytes: 1, 2, 4, 8, or 0 for any
	Match  bool   // only writes of Value
	Value  uint64
	FD     int // the eventfd
}

// IOEvents is the machine's way to bind eventfds (KVM_IOEVENTFD). An event that
// it refuses is handled by the registers instead.
type IOEvents interface {
	BindIOEvent(e IOEvent) error
	UnbindIOEvent(e IOEvent) error
}

// ioEvents binds the doorbells of the queues that are served, through the
// interface that the driver uses, and follows its BAR.
type ioEvents struct {
	io  IOEvents // nil binds nothing
	log *bus.GuestLog

	// mu is a leaf: what is called with it held, the machine, calls nobody.
	mu     sync.Mutex
	places [faces]place
	face   face
	bells  []ioBell
}

// place is where an interface's BAR is.
type place struct {
	base   uint64
	mapped bool
}

type ioBell struct {
	fd     int
	wanted bool
	bound  bool
	event  IOEvent // if bound
}

func (e *ioEvents) init(io IOEvents, log *bus.GuestLog, fds []int) {
	e.io, e.log = io, log
	e.bells = make([]ioBell, len(fds))
	for i, fd := range fds {
		e.bells[i].fd = fd
	}
}

// use says which interface the driver uses, before the first bind.
func (e *ioEvents) use(by face) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.face = by
}

func (e *ioEvents) bind(queue int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bells[queue].wanted = true
	e.update(queue)
}

func (e *ioEvents) unbind(queue int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bells[queue].wanted = false
	e.update(queue)
}

func (e *ioEvents) unbindAll() {
	for i := range e.bells {
		e.unbind(i)
	}
}

// moved follows the BAR of an interface. The Config is locked.
func (e *ioEvents) moved(face face, base uint64, mapped bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.places[face] = place{base, mapped}
	for i := range e.bells {
		e.update(i)
	}
}

// event is the doorbell write of a queue, at where it is now.
func (e *ioEvents) event(queue int) IOEvent {
	base, fd := e.places[e.face].base, e.bells[queue].fd
	if e.face == legacyInterface {
		return IOEvent{Port: true, Addr: base + legacyQueueNotify, Length: 2, Match: true, Value: uint64(queue), FD: fd}
	}
	return IOEvent{Addr: base + notifyRegion + notifyMultiplier*uint64(queue), FD: fd}
}

// update binds the doorbell of a queue where it should be. mu is held.
func (e *ioEvents) update(queue int) {
	if e.io == nil {
		return
	}
	b := &e.bells[queue]
	want := b.wanted && e.places[e.face].mapped
	event := e.event(queue)
	if b.bound && (!want || b.event != event) {
		b.bound = false
		if err := e.io.UnbindIOEvent(b.event); err != nil {
			e.complain("unbind", queue, err)
		}
	}
	if want && !b.bound {
		if err := e.io.BindIOEvent(event); err != nil {
			e.complain("bind", queue, err)
			return
		}
		b.bound, b.event = true, event
	}
}

func (e *ioEvents) complain(what string, queue int, err error) {
	if e.log.Allow() {
		e.log.Warn("cannot "+what+" the doorbell of a virtqueue: notifications are slower", "queue", queue, "error", err)
	}
}
