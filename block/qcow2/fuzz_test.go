package qcow2

import (
	"bytes"
	"testing"
)

// FuzzImage opens any bytes as an image, and reads and writes what opens.
func FuzzImage(f *testing.F) {
	for _, o := range []CreateOptions{
		{ClusterSize: 512},
		{ClusterSize: 4096, Backing: "b", BackingFormat: "raw", Compression: Zstd, RefcountBits: 1},
		{ClusterSize: 16384, ExtendedL2: true, LazyRefcounts: true},
		{Version: 2, ClusterSize: 1024},
	} {
		o.Size = 1 << 20
		s := newImage(f, o)
		d := open(f, s, Options{Backing: withBacking(make([]byte, 5000))})
		if err := d.WriteVec([][]byte{bytes.Repeat([]byte{1}, 9000)}, 5000); err != nil {
			f.Fatal(err)
		}
		if err := d.WriteCompressed(1<<19, make([]byte, d.ClusterSize())); err != nil {
			f.Fatal(err)
		}
		if err := d.WriteZeroes(0, d.ClusterSize(), true); err != nil {
			f.Fatal(err)
		}
		if err := d.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(s.data, uint64(5000), uint16(9000), false)
		dirty := bytes.Clone(s.data)
		put64(atSize, 1<<19)(dirty)
		dirty[atIncompatible+7] |= incompatDirty
		f.Add(dirty, uint64(1<<19), uint16(60000), true)
	}
	f.Fuzz(func(t *testing.T, image []byte, offset uint64, length uint16, fixed bool) {
		const most = 1 << 20
		if len(image) > most {
			return
		}
		s := &store{data: bytes.Clone(image), max: 2 * most, fixed: fixed}
		if _, err := ReadInfo(s); err != nil {
			return
		}
		d, err := Open(t.Context(), s, Options{Fixed: fixed, Backing: withBacking(make([]byte, 5000))})
		if err != nil {
			return
		}
		if d.Size() > 0 {
			offset %= uint64(d.Size())
		}
		p := bytes.Repeat([]byte{0xA5}, int(min(int64(length), d.Size()-int64(offset))))
		vec := [][]byte{p}
		if d.ReadVec(vec, int64(offset)) == nil && d.TryReadVec(vec, int64(offset)) {
			clear(p)
		}
		_ = d.WriteVec(vec, int64(offset))
		_ = d.WriteZeroes(int64(offset), int64(len(p)), true)
		_ = d.Discard(int64(offset), int64(len(p)))
		if offset -= offset % uint64(d.ClusterSize()); int64(offset)+d.ClusterSize() <= d.Size() {
			_ = d.WriteCompressed(int64(offset), make([]byte, d.ClusterSize()))
		}
		_ = d.Resize(d.Size()&^511 + 4096)
		if len(p) > 0 {
			_, _ = d.Map(int64(offset), int64(len(p)))
		}
		_ = d.Flush()
		_ = d.Close()
		if s.Size() > s.max {
			t.Error("the store grew beyond its limit")
		}
		_, _ = Check(t.Context(), s, RepairAll)
	})
}
