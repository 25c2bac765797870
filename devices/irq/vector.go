package irq

// Vector is a message signalled interrupt that the kernel raises for a backend
// of its own, such as vhost: the backend signals an eventfd, and the guest is
// interrupted without a detour through this process.
//
// A new Vector is masked. All methods may be called from any goroutine.
type Vector interface {
	// FD is the eventfd that the backend signals. It is valid until Close, and
	// stays the same however often the guest moves or masks the interrupt.
	FD() int
	// Route makes each signal from now on, and one that no Wait has taken yet,
	// the 32-bit write of data to addr. It replaces an earlier route. When it
	// fails the Vector is masked.
	Route(addr uint64, data uint32) error
	// Mask ends the route: when it returns no message is on its way any more,
	// and later signals are for Wait. Masking a masked Vector does nothing.
	Mask() error
	// Wait blocks, holding no thread, until a masked Vector is signalled, and
	// takes the signal. While there is a route it waits; it may return for a
	// signal that the route has taken too. Close ends it with os.ErrClosed.
	Wait() error
	// Close ends the route and releases the eventfd.
	Close() error
}

// Vectors makes Vectors, which are a limited resource.
type Vectors interface {
	NewVector() (Vector, error)
}
