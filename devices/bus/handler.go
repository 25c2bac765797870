// Package bus connects the vCPUs' port and memory-mapped accesses to the
// devices that answer them.
package bus

// Handler answers the accesses to one range of a bus.
//
// offset counts from the start of the range as registered, so a device does
// not know where it was mapped. len(data) is the access size: 1, 2 or 4 bytes,
// on a memory bus also 8; data is little-endian and is valid only during the
// call. An access never crosses the end of the range. Handlers are called by
// several vCPU threads at once and do their own locking; they must not block,
// retain data, or allocate.
type Handler interface {
	Read(offset uint64, data []byte)
	Write(offset uint64, data []byte)
}

// Resetter is a Handler with state that a machine reset clears. Reset returns
// the device to its power-on state; the vCPUs do not run meanwhile.
type Resetter interface {
	Reset()
}
