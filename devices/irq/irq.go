// Package irq defines how a device asks for an interrupt.
//
// A device never knows what its wire is connected to: the machine gives it one
// of three small types. Which one follows from the hardware being modelled: a
// Line for anything with a level output (ISA and PCI INTx pins), a Pulse for a
// timer that must know whether its tick arrived, an MSI for message signalled
// interrupts.
package irq

// Line is a level: the device holds it asserted for as long as it wants
// service. Set may be called from any goroutine and is idempotent; a repeated
// level costs nothing. An edge-triggered controller input sees an interrupt on
// each change from false to true.
type Line interface {
	Set(asserted bool)
}

// Pulse is one edge on an edge-triggered input.
type Pulse interface {
	// Fire tells what became of the interrupt. What a timer does about one that
	// was not delivered is its tick policy.
	Fire() Delivery
}

// Delivery is what became of an edge.
type Delivery uint8

// The fates of an edge. The zero value is that of a wire which leads nowhere.
const (
	// Masked: the controllers ignored it. The guest does not want it.
	Masked Delivery = iota
	// Coalesced: an earlier edge on the same input is still pending or being
	// served, and the two became one.
	Coalesced
	// Delivered: the guest gets it.
	Delivered
)

// MSI sends a message signalled interrupt: a 32-bit write of data to addr
// (PCI Local Bus Specification 3.0, section 6.8).
type MSI interface {
	// Send reports whether at least one interrupt controller took the message.
	Send(addr uint64, data uint32) (accepted bool)
}

// LineFunc makes a Line of a function.
type LineFunc func(asserted bool)

// Set calls f.
func (f LineFunc) Set(asserted bool) { f(asserted) }

// PulseFunc makes a Pulse of a function.
type PulseFunc func() Delivery

// Fire calls f.
func (f PulseFunc) Fire() Delivery { return f() }

// None is a wire that leads nowhere.
type None struct{}

// Set does nothing.
func (None) Set(bool) {}

// Fire reports that nobody listens.
func (None) Fire() Delivery { return Masked }

// Send reports that nothing took the message.
func (None) Send(uint64, uint32) bool { return false }
