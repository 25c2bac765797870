package platform

// PvpanicPort is the address at which Linux and Windows drivers know the ISA
// pvpanic device; ACPI tables give it as device QEMU0001.
const PvpanicPort = 0x505

// PanicEvent is a set of the events that a guest reports.
type PanicEvent uint8

// The events of pvpanic.
const (
	Panicked    PanicEvent = 1 << 0 // the guest kernel has died
	CrashLoaded PanicEvent = 1 << 1 // it has died, and its crash kernel takes over

	panicEvents = Panicked | CrashLoaded
)

// Pvpanic tells the host that the guest kernel has panicked. It is a
// bus.Handler for one port: a read gives the events that can be reported, a
// write reports some. It has no state.
type Pvpanic struct {
	report func(PanicEvent)
}

// NewPvpanic returns a device that passes events to report, which must not be
// nil, on the thread of the vCPU. Unknown events are taken away.
func NewPvpanic(report func(PanicEvent)) *Pvpanic { return &Pvpanic{report: report} }

// Read answers a read of the port.
func (p *Pvpanic) Read(_ uint64, data []byte) { data[0] = uint8(panicEvents) }

// Write answers a write to the port.
func (p *Pvpanic) Write(_ uint64, data []byte) {
	if e := PanicEvent(data[0]) & panicEvents; e != 0 {
		p.report(e)
	}
}
