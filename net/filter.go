package net

// Filter says which frames a guest's NIC wants to receive, besides broadcasts and
// those for its own address.
type Filter struct {
	MAC          [6]byte // its own address, as the guest has set it
	AllMulticast bool    // also for a NIC that is promiscuous
	Multicast    [][6]byte
}

// Filterer is a back end that the network sends only what the guest wants: a
// Macvtap. The NIC filters what it gets nevertheless.
type Filterer interface {
	// SetFilter follows the guest, as far as it can. It does not block and keeps f.
	// At first the address is that the back end was made with, and all multicast
	// frames are wanted.
	SetFilter(f Filter)
}
