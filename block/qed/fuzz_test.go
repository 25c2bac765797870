package qed

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzImage opens any bytes as an image, and reads and writes what opens.
func FuzzImage(f *testing.F) {
	for _, o := range []CreateOptions{{Size: 1 << 20, ClusterSize: 4096, TableSize: 1}, {Size: 1 << 20, ClusterSize: 8192, TableSize: 2, Backing: "b"}} {
		s := newImage(f, o)
		d := open(f, s, Options{Backing: withBacking(make([]byte, 5000))})
		if err := d.WriteVec([][]byte{bytes.Repeat([]byte{1}, 9000)}, 5000); err != nil {
			f.Fatal(err)
		}
		if err := d.WriteZeroes(0, 4096, true); err != nil {
			f.Fatal(err)
		}
		if err := d.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(s.data, uint64(5000), uint16(9000), false)
		dirty := bytes.Clone(s.data)
		dirty[offsetFeatures] |= featureNeedCheck
		f.Add(dirty, uint64(1<<20-1), uint16(1), true)
		binary.LittleEndian.PutUint64(dirty[offsetSize:], 1<<31)
		f.Add(dirty, uint64(1<<30), uint16(60000), true)
	}
	f.Fuzz(func(t *testing.T, image []byte, offset uint64, length uint16, fixed bool) {
		const most = 1 << 20
		if len(image) > most {
			return
		}
		s := &store{data: bytes.Clone(image), max: most, fixed: fixed}
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
		_ = d.Resize(min(d.Size()+4096, d.maxSize()))
		if len(p) > 0 {
			_, _ = d.Map(int64(offset), int64(len(p)))
		}
		_ = d.Flush()
		_ = d.Close()
		if s.Size() > most {
			t.Error("the store grew beyond its limit")
		}
		_, _ = Check(t.Context(), s, true)
	})
}
