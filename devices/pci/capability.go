package pci

import "fmt"

// Capability identifiers (PCI 3.0, appendix H).
const (
	CapMSI    = 0x05
	CapVendor = 0x09
	CapMSIX   = 0x11
)

// AddCapability appends a capability to the function's list and returns the
// offset of its first byte, the identifier. body is what follows the
// identifier and the link to the next capability; writable gives the bits in
// it that the guest can change, and is as long as body or nil.
func (c *Config) AddCapability(id uint8, body, writable []byte) (offset uint8, err error) {
	if writable == nil {
		writable = make([]byte, len(body))
	}
	if len(writable) != len(body) {
		return 0, fmt.Errorf("pci: %s: capability %#x: %d bytes with %d bytes of writable bits",
			c.name, id, len(body), len(writable))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	start := (c.nextCap + 3) &^ 3
	end := start + 2 + len(body)
	if start < 0x40 || end > len(c.s.Data) {
		return 0, fmt.Errorf("pci: %s: no room for capability %#x of %d bytes at %#x", c.name, id, 2+len(body), start)
	}
	for _, data := range []*[256]byte{&c.initial, &c.s.Data} {
		data[c.lastLink] = uint8(start)
		data[start] = id
		data[start+1] = 0
		copy(data[start+2:], body)
		data[RegStatus] |= statusCapabilities
	}
	copy(c.writable[start+2:], writable)
	c.lastLink = uint8(start + 1)
	c.nextCap = end
	return uint8(start), nil
}

// A capability is what has more behind its registers than the Config keeps. It
// is told, with the Config unlocked, when the guest has written to one of them
// and when the function is reset.
type capability interface {
	written()
	reset()
}

type hook struct {
	start, end int // registers
	capability
}

// addHook tells t of writes to the size registers from start.
func (c *Config) addHook(start, size uint8, t capability) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, hook{int(start), int(start) + int(size), t})
}
