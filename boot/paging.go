package boot

import "encoding/binary"

// Page table entry bits, Intel SDM volume 3 section 4.5.
const (
	pagePresent  = 1 << 0
	pageWritable = 1 << 1
	pageLarge    = 1 << 7 // in a page directory entry: maps 2 MiB
)

const (
	pageSize      = 4 << 10
	largePageSize = 2 << 20
	tableEntries  = 512

	// identityGiB is how much is mapped: all that is loaded by a 64-bit
	// entry lies below 4 GiB.
	identityGiB = 4
)

// writeIdentityTables maps the first 4 GiB to themselves with 2 MiB pages,
// which every processor in long mode has (1 GiB pages are optional):
//
//	PageTableBase + 0x0000  PML4, entry 0 -> PDPT
//	              + 0x1000  PDPT, entries 0-3 -> page directories
//	              + 0x2000  four page directories of 512 entries
func writeIdentityTables(mem Memory) error {
	t, err := mem.Slice(PageTableBase, (2+identityGiB)*pageSize)
	if err != nil {
		return err
	}
	clear(t)
	const table = pagePresent | pageWritable
	le := binary.LittleEndian
	le.PutUint64(t, PageTableBase+pageSize|table)
	for g := range uint64(identityGiB) {
		le.PutUint64(t[pageSize+g*8:], PageTableBase+(2+g)*pageSize|table)
	}
	for i := range uint64(identityGiB * tableEntries) {
		le.PutUint64(t[2*pageSize+i*8:], i*largePageSize|table|pageLarge)
	}
	return nil
}
