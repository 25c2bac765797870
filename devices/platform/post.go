package platform

import "sync/atomic"

// POSTPort is where firmware shows how far it has come.
const POSTPort = 0x80

// POST is the POST code port, a bus.Handler for one port. Guests also write to
// it in great numbers just to pass a microsecond.
type POST struct {
	s atomic.Uint32
}

// POSTState is all there is to know about a POST.
type POSTState struct {
	Code uint8
}

// State returns the device's state.
func (p *POST) State() POSTState { return POSTState{Code: uint8(p.s.Load())} }

// Reset clears the code.
func (p *POST) Reset() { p.s.Store(0) }

// Read answers a read with the last code.
func (p *POST) Read(_ uint64, data []byte) { data[0] = uint8(p.s.Load()) }

// Write answers a write to the port.
func (p *POST) Write(_ uint64, data []byte) { p.s.Store(uint32(data[0])) }
