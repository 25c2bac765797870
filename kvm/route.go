package kvm

import (
	"fmt"
	"unsafe"
)

// Route connects a GSI (a global system interrupt: what IRQLine and irqfds
// raise) to an interrupt controller's pin or to a message. It is the kernel's
// kvm_irq_routing_entry, 48 bytes:
//
//	 0       4       8       12      16                          48
//	+-------+-------+-------+-------+---------------------------+
//	| gsi   | type  | flags | pad   | irqchip, pin              |
//	|       |       |       |       | or address lo, hi, data   |
//	+-------+-------+-------+-------+---------------------------+
//
// Make one with RouteToPin or RouteToMSI. Routes can be compared with ==.
type Route struct {
	gsi uint32
	typ uint32
	_   [2]uint32 // flags, padding
	u   [8]uint32
}

const (
	routeIRQChip = 1 // KVM_IRQ_ROUTING_IRQCHIP
	routeMSI     = 2 // KVM_IRQ_ROUTING_MSI
)

// RouteToPin routes gsi to an input pin of an in-kernel controller. Several
// controllers may share a GSI.
func RouteToPin(gsi uint32, chip IRQChipID, pin uint32) Route {
	return Route{gsi: gsi, typ: routeIRQChip, u: [8]uint32{uint32(chip), pin}}
}

// RouteToMSI routes gsi to a message: data written to addr. No other route may
// have the same GSI.
func RouteToMSI(gsi uint32, addr uint64, data uint32) Route {
	return Route{gsi: gsi, typ: routeMSI, u: [8]uint32{uint32(addr), uint32(addr >> 32), data}}
}

// GSI is the global system interrupt that is routed.
func (r Route) GSI() uint32 { return r.gsi }

// String says what is routed where.
func (r Route) String() string {
	switch r.typ {
	case routeIRQChip:
		return fmt.Sprintf("GSI %d -> %s pin %d", r.gsi, IRQChipID(r.u[0]), r.u[1])
	case routeMSI:
		return fmt.Sprintf("GSI %d -> MSI %#x data %#x", r.gsi, uint64(r.u[1])<<32|uint64(r.u[0]), r.u[2])
	default:
		return fmt.Sprintf("GSI %d -> nothing", r.gsi)
	}
}

// DefaultRoutes are the routes that CreateIRQChip makes, which is how a PC is
// wired: GSI 0-7 to the master PIC, 8-15 to the slave, and 0-23 to the I/O APIC
// pin of the same number.
func DefaultRoutes() []Route {
	var routes []Route
	for gsi := range uint32(IOAPICPins) {
		switch {
		case gsi < 8:
			routes = append(routes, RouteToPin(gsi, PICMaster, gsi))
		case gsi < 16:
			routes = append(routes, RouteToPin(gsi, PICSlave, gsi-8))
		}
		routes = append(routes, RouteToPin(gsi, IOAPIC, gsi))
	}
	return routes
}

// SetGSIRouting replaces the whole routing table (KVM_SET_GSI_ROUTING).
// CapIRQRouting is the number of GSIs there can be.
func (vm *VM) SetGSIRouting(routes []Route) error {
	h, entries := newFlex[Route](len(routes))
	copy(entries, routes)
	_, err := ioctlPtr(vm.fd, reqSetGSIRouting, unsafe.Pointer(h))
	return err
}
