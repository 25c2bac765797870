package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

func put32(at int, v uint32) func([]byte) {
	return func(p []byte) { binary.BigEndian.PutUint32(p[at:], v) }
}

func put64(at int, v uint64) func([]byte) {
	return func(p []byte) { binary.BigEndian.PutUint64(p[at:], v) }
}

// TestHeader opens images that are none.
func TestHeader(t *testing.T) {
	both := func(list ...func([]byte)) func([]byte) {
		return func(p []byte) {
			for _, f := range list {
				f(p)
			}
		}
	}
	for name, test := range map[string]struct {
		change func([]byte)
		want   string
		is     error
	}{
		"magic":            {put32(0, 1), "does not begin with", ErrFormat},
		"version 1":        {put32(4, 1), "version 1", ErrUnsupported},
		"version 4":        {put32(4, 4), "version 4", ErrUnsupported},
		"small clusters":   {put32(20, 8), "cluster_bits is 8", ErrFormat},
		"large clusters":   {put32(20, 22), "cluster_bits is 22", ErrFormat},
		"absurd clusters":  {put32(20, math.MaxUint32), "cluster_bits is 4294967295", ErrFormat},
		"size":             {put64(24, math.MaxUint64), "size is 18446744073709551615", ErrFormat},
		"size beyond L1":   {put64(24, 1<<50), "l1_size is 1", ErrFormat},
		"aes":              {put32(32, 1), "encryption by AES", ErrUnsupported},
		"luks":             {put32(32, 2), "encryption by LUKS", ErrUnsupported},
		"crypt":            {put32(32, 3), "encryption method 3", ErrUnsupported},
		"huge L1":          {put32(36, math.MaxUint32), "the l1 table has 34359738360 bytes", ErrFormat},
		"L1 beyond":        {put64(40, 1<<55), "L1 table", ErrFormat},
		"L1 unaligned":     {put64(40, 4097), "at 0x1001", ErrFormat},
		"L1 in header":     {put64(40, 0), "l1 table", ErrFormat},
		"L1 far":           {put64(40, 1<<63), "l1 table", ErrFormat},
		"L1 on refcounts":  {put64(40, 4096), "two tables are at 0x1000", ErrCorrupt},
		"refcount far":     {put64(48, 1<<62), "refcount table", ErrFormat},
		"refcount none":    {put32(56, 0), "refcount table has 0 bytes", ErrFormat},
		"refcount huge":    {put32(56, math.MaxUint32), "refcount table", ErrFormat},
		"refcount long":    {put32(56, 2048), "refcount table", ErrFormat},
		"snapshots":        {put32(60, 65537), "snapshot table", ErrFormat},
		"snapshots beyond": {both(put32(60, 1), put64(64, 1<<40)), "snapshot 1", ErrFormat},
		"snapshot of data": {both(put32(60, 1), put64(64, 4096)), "two tables are at 0x1000", ErrCorrupt},
		"unknown feature":  {put64(72, 1<<63), "bit 63", ErrUnsupported},
		"data file":        {put64(72, incompatDataFile), "external data file", ErrUnsupported},
		"corrupt":          {put64(72, incompatCorrupt), "marked so", ErrCorrupt},
		"compression bit":  {put64(72, incompatCompression), "compression_type is 0", ErrFormat},
		"compression":      {both(put64(72, incompatCompression), func(p []byte) { p[104] = 2 }), "compression type 2", ErrUnsupported},
		"subclusters":      {put64(72, incompatExtendedL2), "extended L2", ErrFormat},
		"refcount order":   {put32(96, 7), "refcount_order is 7", ErrFormat},
		"short header":     {put32(100, 96), "header_length is 96", ErrFormat},
		"odd header":       {put32(100, 109), "header_length is 109", ErrFormat},
		"long header":      {put32(100, 1<<31), "header_length is 2147483648", ErrFormat},
		"long extension":   {both(put32(112, 0x12345678), put32(116, math.MaxUint32)), "beyond the header", ErrFormat},
		"long format":      {both(put32(112, extBackingFormat), put32(116, 300)), "a name of 300 bytes", ErrFormat},
		"backing far":      {both(put64(8, 1<<40), put32(16, 5)), "backing_file_offset", ErrFormat},
		"backing on":       {both(put64(8, 64), put32(16, 5)), "backing_file_offset", ErrFormat},
		"backing long":     {both(put64(8, 1024), put32(16, 1024)), "backing_file_size is 1024", ErrFormat},
		"backing zeroes":   {both(put64(8, 1024), put32(16, 5)), "without zeroes", ErrFormat},
		"no format":        {both(put64(8, 1024), put32(16, 1), func(p []byte) { p[1024] = 'b' }), "-F raw -b b", ErrBackingFormat},
		"no backing": {both(put64(8, 1024), put32(16, 1), func(p []byte) {
			p[1024] = 'b'
			copy(p[112:], appendExtension(nil, extBackingFormat, []byte("raw")))
		}), `"b", is not possible here`, ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			s := newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 4096})
			test.change(s.data)
			before := slices.Clone(s.data)
			_, err := Open(t.Context(), s, Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, test.is) {
				t.Errorf("%v", err)
			}
			if !bytes.Equal(s.data, before) {
				t.Error("the image was changed")
			}
		})
	}
	for _, n := range []int64{0, 71} {
		if _, err := Open(t.Context(), newStore(n, n), Options{}); !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	}
}

// places says where the tables of an image are.
type places struct {
	l1, l2, table, block, data int64
}

// small is an image with one cluster of data.
func small(t *testing.T) (*store, places) {
	t.Helper()
	s := newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 4096})
	d := open(t, s, Options{})
	if err := errors.Join(d.WriteVec([][]byte{make([]byte, 512)}, 0), d.Close()); err != nil {
		t.Fatal(err)
	}
	u64 := func(at int64) int64 { return int64(binary.BigEndian.Uint64(s.data[at:]) & offsetMask) }
	p := places{l1: u64(40), table: u64(48)}
	p.l2, p.block = u64(p.l1), u64(p.table)
	p.data = u64(p.l2)
	return s, p
}

// TestOverlap has entries that point to tables, or to nothing. What they point to is
// read but not written, the image is marked as corrupt, and can still be read.
func TestOverlap(t *testing.T) {
	for name, target := range map[string]func(places) uint64{
		"header":         func(places) uint64 { return 0 },
		"L1 table":       func(p places) uint64 { return uint64(p.l1) },
		"L2 table":       func(p places) uint64 { return uint64(p.l2) },
		"refcount table": func(p places) uint64 { return uint64(p.table) },
		"refcount block": func(p places) uint64 { return uint64(p.block) },
		"unaligned":      func(p places) uint64 { return uint64(p.data) + 512 },
		"beyond":         func(places) uint64 { return 1 << 40 },
	} {
		t.Run(name, func(t *testing.T) {
			s, p := small(t)
			binary.BigEndian.PutUint64(s.data[p.l2:], target(p)|flagCopied)
			before := slices.Clone(s.data)
			d := open(t, s, Options{})
			err := d.WriteVec([][]byte{bytes.Repeat([]byte{0xA5}, 512)}, 0)
			if !errors.Is(err, ErrCorrupt) || !errors.Is(err, unix.EIO) {
				t.Errorf("write: %v", err)
			}
			if name == "unaligned" || name == "beyond" || name == "header" {
				if err := d.ReadVec([][]byte{make([]byte, 512)}, 0); !errors.Is(err, ErrCorrupt) {
					t.Errorf("read: %v", err)
				}
			}
			if err := d.Flush(); err != nil {
				t.Error(err)
			}
			read(t, d, 8192, 512)
			overlap := strings.HasSuffix(name, "table") || strings.HasSuffix(name, "block")
			if err := d.WriteVec([][]byte{make([]byte, 512)}, 8192); overlap != errors.Is(err, ErrCorrupt) {
				t.Errorf("a later write: %v", err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if !overlap {
				return
			}
			before[atIncompatible+7] |= incompatCorrupt
			if !bytes.Equal(s.data, before) {
				t.Error("the image was written to")
			}
			if _, err := Open(t.Context(), s, Options{}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("opened for writing: %v", err)
			}
			open(t, s, Options{ReadOnly: true})
		})
	}
}

// TestSharedTables has tables in the same place, which is found out when the image
// is opened for writing.
func TestSharedTables(t *testing.T) {
	for name, change := range map[string]func([]byte, places){
		"L2 on L1":        func(d []byte, p places) { put64(int(p.l1), uint64(p.l1)|flagCopied)(d) },
		"L2 on header":    func(d []byte, p places) { put64(int(p.l1), flagCopied)(d) },
		"L2 on refcounts": func(d []byte, p places) { put64(int(p.l1), uint64(p.block)|flagCopied)(d) },
		"L2 beyond":       func(d []byte, p places) { put64(int(p.l1), 1<<50|flagCopied)(d) },
		"block on L2":     func(d []byte, p places) { put64(int(p.table), uint64(p.l2))(d) },
		"two blocks":      func(d []byte, p places) { put64(int(p.table)+8, uint64(p.block))(d) },
		"block beyond":    func(d []byte, p places) { put64(int(p.table), 1<<50)(d) },
	} {
		t.Run(name, func(t *testing.T) {
			s, p := small(t)
			change(s.data, p)
			if name == "L2 on header" {
				// Without an offset it is none; what it had leaks.
				open(t, s, Options{})
				return
			}
			if _, err := Open(t.Context(), s, Options{}); !errors.Is(err, ErrCorrupt) {
				t.Error(err)
			}
			open(t, s, Options{ReadOnly: true})
		})
	}
}

// TestFreeTables has tables that are counted as free: nothing is put there.
func TestFreeTables(t *testing.T) {
	for _, of := range []string{"block", "entry"} {
		s, p := small(t)
		if of == "block" {
			clear(s.data[p.block:][:4096])
		} else {
			put64(int(p.table), 0)(s.data)
		}
		before := slices.Clone(s.data)
		d := open(t, s, Options{})
		if err := d.WriteVec([][]byte{make([]byte, 512)}, 8192); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", of, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		before[atIncompatible+7] |= incompatCorrupt
		if !bytes.Equal(s.data, before) {
			t.Error("the image was written to")
		}
		// And it can be repaired.
		if r, err := Check(t.Context(), s, RepairAll); err != nil || !r.Sound() || r.Repaired == 0 {
			t.Errorf("%s: %v, %v", of, r, err)
		}
		if r, err := Check(t.Context(), s, RepairNothing); err != nil || !r.Sound() || r.Wrong != 0 || r.Leaked != 0 {
			t.Errorf("%s: after the repair: %v, %v", of, r, err)
		}
		d = open(t, s, Options{})
		if err := errors.Join(d.WriteVec([][]byte{make([]byte, 512)}, 8192), d.Close()); err != nil {
			t.Errorf("%s: %v", of, err)
		}
	}
}

// TestRepair finds and repairs leaks, and flags that are wrong.
func TestRepair(t *testing.T) {
	s, p := small(t)
	entry := binary.BigEndian.Uint64(s.data[p.l2:])
	put64(int(p.l2), entry&^flagCopied)(s.data) // a wrong flag
	put64(int(p.l2)+8, 0)(s.data)
	setCount(s.data[p.block:], p.data>>12+1, 4, 3) // a leak
	for _, test := range []struct {
		repair Repair
		want   CheckResult
	}{
		{RepairNothing, CheckResult{Wrong: 1, Leaked: 1}},
		{RepairLeaks, CheckResult{Wrong: 1, Leaked: 1, Recovered: 1}},
		{RepairAll, CheckResult{Wrong: 1, Repaired: 1}},
		{RepairNothing, CheckResult{}},
	} {
		test.want.Clusters, test.want.Tables = 1, 1
		r, err := Check(t.Context(), s, test.repair)
		r.End = 0
		if err != nil || r != test.want {
			t.Errorf("repair %d: %v, want %v; %v", test.repair, r, test.want, err)
		}
	}
	// One cluster in two places of the disk.
	put64(int(p.l2)+8, entry)(s.data)
	if r, err := Check(t.Context(), s, RepairAll); err != nil || r.Wrong == 0 || !r.Sound() {
		t.Errorf("%v, %v", r, err)
	}
	d := open(t, s, Options{})
	if err := errors.Join(d.WriteVec([][]byte{bytes.Repeat([]byte{9}, 512)}, 0), d.Flush()); err != nil {
		t.Error(err)
	}
	if got := read(t, d, 4096, 512); got[0] != 0 {
		t.Error("a write to one changes the other")
	}
}

func TestReadOnly(t *testing.T) {
	s := newImage(t, CreateOptions{Size: 1 << 20, LazyRefcounts: true})
	s.data[atIncompatible+7] |= incompatDirty
	before := slices.Clone(s.data)
	d := open(t, s, Options{ReadOnly: true})
	p := [][]byte{make([]byte, 512)}
	for _, err := range []error{d.WriteVec(p, 0), d.WriteZeroes(0, 1, false), d.Discard(0, 1), d.Resize(2 << 20), d.WriteCompressed(0, make([]byte, 65536))} {
		if !errors.Is(err, block.ErrReadOnly) {
			t.Error(err)
		}
	}
	for _, err := range []error{d.ReadVec(p, 1<<20-511), d.ReadVec(p, -1), d.WriteVec(p, 1<<20), d.WriteZeroes(1, math.MaxInt64, true)} {
		if !errors.Is(err, block.ErrOutOfRange) {
			t.Error(err)
		}
	}
	if err := errors.Join(d.Flush(), d.Close()); err != nil || !bytes.Equal(s.data, before) {
		t.Error("a read-only image was changed", err)
	}
}
