package vmm

import "time"

// NextWake is when the machine's clock wakes the host next, if it does.
func (m *Machine) NextWake() (at time.Duration, ok bool) { return m.clock.Next() }
