package balloon

import (
	"encoding/binary"
	"fmt"

	"github.com/govmm/govmm/memory"
)

// The configuration space (section 5.5.4), little-endian with legacy drivers,
// too:
//
//	0   num_pages              le32  read-only: what the host wants in the balloon
//	4   actual                 le32  what is in it
//	8   free_page_hint_cmd_id  le32  not used
//	12  poison_val             le32  what free pages hold
//
// Pages are of 4096 bytes.
const (
	configSize   = 16
	numPagesAt   = 0
	actualAt     = 4
	actualLast   = 7
	poisonAt     = 12
	maxPages     = 1<<32 - 1
	bytesPerPage = memory.PageSize
)

// config is the configuration space and what follows from it.
type config struct {
	bytes  [configSize]byte
	actual uint32 // when its last byte was written
}

func (c *config) poison() uint32 { return binary.LittleEndian.Uint32(c.bytes[poisonAt:]) }

// write takes the driver's write. A legacy driver writes byte by byte, the most
// significant last, and there is no actual in between (section 5.5.6).
func (c *config) write(offset uint64, data []byte, poison bool) (changed bool) {
	for i, b := range data {
		at := offset + uint64(i)
		if at >= configSize || at < offset {
			break
		}
		if at >= actualAt && at <= actualLast || at >= poisonAt && poison {
			c.bytes[at] = b
		}
		if at == actualLast {
			now := binary.LittleEndian.Uint32(c.bytes[actualAt:])
			changed = now != c.actual
			c.actual = now
		}
	}
	return changed
}

// reset forgets what the driver has written.
func (c *config) reset() (changed bool) {
	changed = c.actual != 0
	c.actual = 0
	clear(c.bytes[actualAt:])
	return changed
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, data []byte) {
	clear(data)
	d.mu.Lock()
	defer d.mu.Unlock()
	if offset < configSize {
		copy(data, d.config.bytes[offset:])
	}
}

// WriteConfig implements virtio.Device.
func (d *Device) WriteConfig(offset uint64, data []byte) {
	d.mu.Lock()
	changed := d.config.write(offset, data, d.features.Has(FeaturePagePoison))
	d.mu.Unlock()
	if changed {
		d.changed(d.Actual())
	}
}

// SetTarget says how much memory the guest is to have, in bytes, from one page
// to the machine's RAM; parts of a page do not count. The balloon can take 16
// TiB at most. The guest follows in its own time, as far as it can and wants
// to: Actual tells how far it is.
func (d *Device) SetTarget(bytes uint64) error {
	if bytes < bytesPerPage || bytes > d.ram.size {
		return fmt.Errorf("%s: the guest cannot have %d bytes of memory: from %d to %d are possible",
			d.name, bytes, bytesPerPage, d.ram.size)
	}
	pages := (d.ram.size - bytes/bytesPerPage*bytesPerPage) / bytesPerPage
	if pages > maxPages {
		return fmt.Errorf("%s: the guest cannot have only %d bytes of memory: the balloon would be larger than 16 TiB", d.name, bytes)
	}
	d.mu.Lock()
	changed := d.config.setTarget(uint32(pages))
	r := d.run
	d.mu.Unlock()
	if changed && r != nil {
		r.interrupts.ConfigChanged()
	}
	return nil
}

func (c *config) setTarget(pages uint32) (changed bool) {
	changed = binary.LittleEndian.Uint32(c.bytes[numPagesAt:]) != pages
	binary.LittleEndian.PutUint32(c.bytes[numPagesAt:], pages)
	return changed
}

// Target is what SetTarget has set, in bytes.
func (d *Device) Target() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ram.size - uint64(binary.LittleEndian.Uint32(d.config.bytes[numPagesAt:]))*bytesPerPage
}

// Actual is how much memory the guest has, in bytes: the machine's RAM without
// what the driver says is in the balloon.
func (d *Device) Actual() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ram.size - min(d.ram.size, uint64(d.config.actual)*bytesPerPage)
}
