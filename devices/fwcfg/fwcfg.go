// Package fwcfg models the firmware configuration device of a virtual PC: a
// store of items that firmware and operating systems read, some by a numeric
// key, others as files with a name. Firmware finds in it the memory map, the
// boot order, the ACPI and SMBIOS tables, and the kernel to boot.
//
// The source is the specification of the device in the QEMU documentation
// (docs/specs/fw_cfg.rst). What the items mean is the business of whoever fills
// the store; this package makes three of them itself: the signature, the
// feature bits and the file directory.
//
// Left out: the memory-mapped variant of the device, and writes through the
// data port, which have had no effect since QEMU 2.4.
package fwcfg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/govmm/govmm/devices/bus"
)

// The device on the port bus: selector, data and DMA address.
const (
	Port  = 0x510
	Ports = 12
)

// Keys of the items that the device provides itself.
const (
	KeySignature = 0x00 // "QEMU"
	KeyID        = 0x01 // feature bits
	KeyDirectory = 0x19 // the list of files
	KeyFirstFile = 0x20 // files have keys from here on
)

const (
	keyWrite    = 1 << 14 // asked for writing, without effect
	keyFileLast = 0x3FFF

	idTraditional = 1 << 0
	idDMA         = 1 << 1

	// NameMax is how long the name of a file may be, in bytes.
	NameMax = 55
	// WritableMax is how large an item may be that the guest writes to, in
	// bytes: its content is kept on the heap.
	WritableMax = 64 << 10

	signature = "QEMU"
)

// Content is what an item holds. It is read when the guest asks for it, so it
// may be a large file, and must not change meanwhile. *bytes.Reader and
// *io.SectionReader are Contents.
type Content interface {
	io.ReaderAt
	Size() int64 // bytes
}

// Item is one item of the store.
type Item struct {
	// Key selects the item. For a file it must be 0: the device gives keys to
	// files in the order of their names.
	Key uint16
	// Name makes the item a file: 1 to NameMax bytes of printable ASCII.
	Name string
	// Content is at most 4 GiB - 1 byte long.
	Content Content
	// Written, if not nil, makes the item writable. It is called after each
	// write with what was written where, while the device is locked: it must
	// not block, retain data or call the device.
	Written func(offset int, data []byte)
}

// Memory is the guest's RAM. Every method refuses what is not wholly in RAM.
type Memory interface {
	ReadAt(p []byte, gpa uint64) error
	WriteAt(p []byte, gpa uint64) error
	// ReadFrom copies n bytes from src at off to gpa.
	ReadFrom(src io.ReaderAt, off int64, gpa, n uint64) error
	// Zero clears n bytes at gpa.
	Zero(gpa, n uint64) error
}

// Options says what a Device holds and what it is connected to.
type Options struct {
	Items []Item
	// Memory is for the DMA interface; nil is a device without.
	Memory Memory
	Log    *slog.Logger // nil discards
}

// Device is the firmware configuration device, a bus.Handler for the Ports
// ports from Port:
//
//	0x510  selector, 16 bits, little-endian, write only
//	0x511  data, 8 bits: the next byte of the selected item, or 0 after its end
//	0x514  DMA address, 64 bits, big-endian; reads "QEMU CFG"
//
// One lock orders all accesses. It is held while a DMA transfer reads a large
// item from its file: only a second vCPU that uses the device waits for it.
type Device struct {
	mem   Memory
	items map[uint16]*item
	log   *bus.GuestLog

	mu       sync.Mutex
	s        selection
	selected *item // items[s.Key], or nil
	ahead    readAhead
	access   [accessSize]byte // of the DMA operation under way
}

// item is an Item with its content measured.
type item struct {
	content Content
	size    uint32
	initial []byte   // of a writable item, for Reset
	data    writable // its content; nil if it is read-only
	written func(offset int, data []byte)
}

// writable is the content of an item that the guest writes to.
type writable []byte

func (w writable) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(w)) {
		return 0, io.EOF
	}
	n := copy(p, w[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (w writable) Size() int64 { return int64(len(w)) }

// New returns a device in its power-on state. It refuses items whose keys or
// names are taken, out of range or reserved, and items that are too large.
func New(o Options) (*Device, error) {
	d := &Device{mem: o.Memory, items: map[uint16]*item{}, log: bus.NewGuestLog(o.Log, "fw_cfg")}
	id := uint32(idTraditional)
	if o.Memory != nil {
		id |= idDMA
	}
	d.items[KeySignature] = readOnly([]byte(signature))
	d.items[KeyID] = readOnly(binary.LittleEndian.AppendUint32(nil, id))
	var files []Item
	for _, it := range o.Items {
		if it.Name != "" {
			files = append(files, it)
			continue
		}
		if err := d.addKeyed(it); err != nil {
			return nil, fmt.Errorf("fw_cfg: item %#x: %w", it.Key, err)
		}
	}
	if err := d.addFiles(files); err != nil {
		return nil, err
	}
	d.Reset()
	return d, nil
}

func readOnly(b []byte) *item { return &item{content: writable(b), size: uint32(len(b))} }

func (d *Device) addKeyed(it Item) error {
	key := it.Key &^ 0x8000 // of either range, generic or of the architecture
	switch {
	case key >= KeyFirstFile:
		return fmt.Errorf("keys from %#x to %#x, with 0x8000 or without, are for items without a name", 0, KeyFirstFile-1)
	case it.Key == KeyDirectory || d.items[it.Key] != nil:
		return errors.New("the key is taken")
	}
	return d.add(it.Key, it)
}

func (d *Device) addFiles(files []Item) error {
	if len(files) > keyFileLast-KeyFirstFile+1 {
		return fmt.Errorf("fw_cfg: %d files are too many", len(files))
	}
	slices.SortStableFunc(files, func(a, b Item) int { return strings.Compare(a.Name, b.Name) })
	be := binary.BigEndian
	directory := be.AppendUint32(nil, uint32(len(files)))
	for i, it := range files {
		key := uint16(KeyFirstFile + i)
		err := checkName(it.Name)
		switch {
		case err != nil:
		case it.Key != 0:
			err = fmt.Errorf("has the key %#x; a file gets its key from the device", it.Key)
		case i > 0 && files[i-1].Name == it.Name:
			err = errors.New("there are two of the name")
		default:
			err = d.add(key, it)
		}
		if err != nil {
			return fmt.Errorf("fw_cfg: file %q: %w", it.Name, err)
		}
		directory = be.AppendUint32(directory, d.items[key].size)
		directory = be.AppendUint16(directory, key)
		directory = be.AppendUint16(directory, 0)
		directory = append(directory, it.Name...)
		directory = append(directory, make([]byte, NameMax+1-len(it.Name))...)
	}
	d.items[KeyDirectory] = readOnly(directory)
	return nil
}

func checkName(name string) error {
	if len(name) > NameMax {
		return fmt.Errorf("the name has %d bytes, and %d is the most", len(name), NameMax)
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' {
			return errors.New("the name has bytes that are not printable ASCII")
		}
	}
	return nil
}

func (d *Device) add(key uint16, it Item) error {
	if it.Content == nil {
		return errors.New("has no content")
	}
	size := it.Content.Size()
	if size < 0 || size > math.MaxUint32 {
		return fmt.Errorf("%d bytes are too many: 4 GiB - 1 is the most", size)
	}
	added := &item{content: it.Content, size: uint32(size), written: it.Written}
	if it.Written != nil {
		if size > WritableMax {
			return fmt.Errorf("%d bytes are too many for a writable item: %d is the most", size, WritableMax)
		}
		added.initial = make([]byte, size)
		if n, err := it.Content.ReadAt(added.initial, 0); n < len(added.initial) {
			return fmt.Errorf("reading its content: %w", err)
		}
		added.data = slices.Clone(added.initial)
		added.content = added.data
	}
	d.items[key] = added
	return nil
}
