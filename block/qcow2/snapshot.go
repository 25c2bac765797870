package qcow2

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/govmm/govmm/block"
)

// A snapshot's entry in the snapshot table:
//
//	 0  L1 table offset    8  L1 entries    12  length of ID    14  length of name
//	16  seconds           20  nanoseconds   24  ns the guest ran
//	32  size of VM state  36  length of the extra data, which follows:
//	40  size of VM state  48  size of the disk
//
// then the ID and the name, filled up to a multiple of 8.
const (
	snapshotHeader   = 40
	maxSnapshotExtra = 1024
)

// Snapshot is an internal snapshot of an image. It is kept as it is.
type Snapshot struct {
	ID, Name    string
	Date        time.Time
	Clock       time.Duration // how long the guest had run
	VMStateSize uint64        // bytes of the guest's state
	Size        int64         // of the disk in bytes; 0 if the image does not say

	l1 span
}

// readSnapshots reads the snapshot table, and says where it is.
func readSnapshots(below block.Layer, h *header, g *geometry) (list []Snapshot, table span, err error) {
	begin := int64(h.snapshotsOffset)
	at, left := begin, below.Size()
	for n := range h.snapshots {
		s, length, err := readSnapshot(below, at, g)
		if err != nil {
			return nil, span{}, fmt.Errorf("snapshot %d: %w", n+1, err)
		}
		// They do not overlap, so that the store bounds the time that reading
		// all of them takes.
		if left -= s.l1.length; left < 0 {
			return nil, span{}, badHeader("the snapshots' L1 tables are longer than the image")
		}
		list = append(list, s)
		if at += length; at-begin > maxSnapshotTable {
			return nil, span{}, badHeader("the snapshot table has more than %d bytes", maxSnapshotTable)
		}
	}
	return list, span{begin, at - begin}, nil
}

// readSnapshot reads one entry, and says how long it is.
func readSnapshot(below block.Layer, at int64, g *geometry) (s Snapshot, length int64, err error) {
	var p [snapshotHeader]byte
	if err := readWithin(below, p[:], at); err != nil {
		return s, 0, err
	}
	u16, u32, u64 := binary.BigEndian.Uint16, binary.BigEndian.Uint32, binary.BigEndian.Uint64
	entries := int64(u32(p[8:]))
	s = Snapshot{
		l1:          span{int64(u64(p[0:])), entries * 8},
		Date:        time.Unix(int64(u32(p[16:])), int64(u32(p[20:]))),
		Clock:       time.Duration(u64(p[24:])),
		VMStateSize: uint64(u32(p[32:])),
	}
	id, name, extra := int(u16(p[12:])), int(u16(p[14:])), int(u32(p[36:]))
	switch {
	case extra > maxSnapshotExtra:
		return s, 0, badHeader("it has %d bytes of extra data; the most is %d", extra, maxSnapshotExtra)
	case s.l1.length > maxL1 || entries > 0 && (s.l1.at < g.cluster || s.l1.at >= maxHost || !g.aligned(s.l1.at)):
		return s, 0, badHeader("it has an L1 table of %d entries at %#x", entries, s.l1.at)
	}
	rest := make([]byte, extra+id+name)
	if err := readWithin(below, rest, at+snapshotHeader); err != nil {
		return s, 0, err
	}
	if extra >= 8 {
		s.VMStateSize = u64(rest)
	}
	if extra >= 16 {
		s.Size = int64(u64(rest[8:]))
	}
	s.ID = strings.ToValidUTF8(string(rest[extra:extra+id]), "?")
	s.Name = strings.ToValidUTF8(string(rest[extra+id:]), "?")
	return s, int64(snapshotHeader+len(rest)+7) &^ 7, nil
}

// readWithin reads a part of a table, all of which has to be in the store.
func readWithin(below block.Layer, p []byte, at int64) error {
	if size := below.Size(); at < 0 || at > size || int64(len(p)) > size-at {
		return badHeader("it ends within a table, at %#x", size)
	}
	return below.ReadVec([][]byte{p}, at)
}
