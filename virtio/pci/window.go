package pci

import (
	"encoding/binary"

	"github.com/govmm/govmm/devices/pci"
)

// The configuration access capability (section 4.1.4.9) is a window for those
// who cannot reach memory BARs yet, such as firmware: an access to its data
// register makes the access to the BAR that its other fields describe.
const (
	windowBAR    = 4 // from the capability's start
	windowOffset = 8
	windowLength = 12
	windowData   = 16
	windowSize   = 20
)

func (f *Function) addWindow() error {
	body := make([]byte, windowSize-2)
	writable := make([]byte, len(body))
	body[0], body[1] = windowSize, typeWindow
	writable[windowBAR-2] = 0xFF
	for i := windowOffset - 2; i < len(body); i++ {
		writable[i] = 0xFF
	}
	start, err := f.AddCapability(pci.CapVendor, body, writable)
	f.window = start
	return err
}

// windowHit reports whether an access to the configuration space touches the
// window's data register.
func (f *Function) windowHit(reg uint8, data []byte) bool {
	first := int(f.window) + windowData
	return f.window != 0 && int(reg) < first+4 && int(reg)+len(data) > first
}

// windowAccess returns what the fields describe; ok is false unless that is an
// aligned access of 1, 2 or 4 bytes within the modern BAR.
func (f *Function) windowAccess() (offset uint64, length int, ok bool) {
	offset = uint64(f.Uint32(f.window + windowOffset))
	n := f.Uint32(f.window + windowLength)
	ok = f.Uint8(f.window+windowBAR) == modernBAR && (n == 1 || n == 2 || n == 4) &&
		offset%uint64(n) == 0 && offset < modernSize
	return offset, int(n), ok
}

func (f *Function) readWindow() {
	offset, n, ok := f.windowAccess()
	if !ok {
		return
	}
	var data [4]byte
	modern{f}.Read(offset, data[:n])
	f.SetUint32(f.window+windowData, binary.LittleEndian.Uint32(data[:]))
}

func (f *Function) writeWindow() {
	offset, n, ok := f.windowAccess()
	if !ok {
		return
	}
	var data [4]byte
	binary.LittleEndian.PutUint32(data[:], f.Uint32(f.window+windowData))
	modern{f}.Write(offset, data[:n])
}
