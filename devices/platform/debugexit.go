package platform

// DebugExitPort is where test kernels expect the debug exit port; it answers
// DebugExitPorts addresses.
const (
	DebugExitPort  = 0xF4
	DebugExitPorts = 4
)

// DebugExit lets a test kernel end its machine with a number, as QEMU's
// isa-debug-exit does. It is a bus.Handler for up to four ports, and has no
// state.
type DebugExit struct {
	exit func(value uint32)
}

// NewDebugExit returns a port that passes what is written, 1, 2 or 4 bytes, to
// exit, which must not be nil, on the thread of the vCPU.
func NewDebugExit(exit func(value uint32)) *DebugExit { return &DebugExit{exit: exit} }

// Read answers a read with 0.
func (*DebugExit) Read(_ uint64, data []byte) { clear(data) }

// Write answers a write to the ports.
func (d *DebugExit) Write(_ uint64, data []byte) {
	var v uint32
	for i, b := range data {
		v |= uint32(b) << (8 * i)
	}
	d.exit(v)
}
