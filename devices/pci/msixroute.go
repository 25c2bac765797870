package pci

import (
	"slices"

	"github.com/govmm/govmm/devices/irq"
)

// NoVector stands for no vector of an MSI-X table.
const NoVector = 0xFFFF

// MSIXRoute leads an irq.Vector, which a backend in the kernel signals, through
// the MSI-X table: the kernel sends the message of the table entry, and while
// it must not, because the entry or the function is masked or MSI-X is not
// enabled, the signals are left for the Vector's Wait. Whoever waits passes
// them on to Signal or to the INTx pin.
type MSIXRoute struct {
	msix   *MSIX
	out    irq.Vector
	vector uint16 // in the table, or NoVector

	routed bool
	entry  MSIXEntry // what it is routed to
}

// Connect leads v, which is masked, to a vector of the table; a vector that the
// table does not have, such as NoVector, leads nowhere. The caller Disconnects
// the route before it closes v.
func (m *MSIX) Connect(v irq.Vector, vector uint16) *MSIXRoute {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &MSIXRoute{msix: m, out: v, vector: vector}
	m.routes = append(m.routes, r)
	r.update()
	return r
}

// SetVector leads the route to another vector of the table.
func (r *MSIXRoute) SetVector(vector uint16) {
	r.msix.mu.Lock()
	defer r.msix.mu.Unlock()
	r.vector = vector
	r.update()
}

// Disconnect ends the route.
func (r *MSIXRoute) Disconnect() {
	r.msix.mu.Lock()
	defer r.msix.mu.Unlock()
	r.mask()
	r.msix.routes = slices.DeleteFunc(r.msix.routes, func(o *MSIXRoute) bool { return o == r })
}

// update follows the table. The MSIX is locked.
func (r *MSIXRoute) update() {
	m := r.msix
	if !m.s.Enabled || int(r.vector) >= len(m.s.Table) || m.masked(r.vector) {
		r.mask()
		return
	}
	e := m.s.Table[r.vector]
	if r.routed && r.entry == e {
		return
	}
	if err := r.out.Route(e.Address, e.Data); err != nil {
		// Its signals come by way of Wait instead: slower, but none is lost.
		r.complain("route", err)
		r.routed = false
		return
	}
	r.routed, r.entry = true, e
}

func (r *MSIXRoute) mask() {
	if !r.routed {
		return
	}
	r.routed = false
	if err := r.out.Mask(); err != nil {
		r.complain("mask", err)
	}
}

func (r *MSIXRoute) complain(what string, err error) {
	if log := r.msix.log; log.Allow() {
		log.Error("cannot "+what+" an interrupt of a backend in the kernel", "vector", r.vector, "error", err)
	}
}
