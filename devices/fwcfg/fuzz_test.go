package fwcfg

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzDevice drives the ports with what a guest may do: every six bytes are a
// write or a read, and the input's start is guest RAM, in which descriptions of
// DMA operations lie.
func FuzzDevice(f *testing.F) {
	be := binary.BigEndian
	describe := func(control, length uint32, address uint64) []byte {
		return be.AppendUint64(be.AppendUint32(be.AppendUint32(nil, control), length), address)
	}
	f.Add(describe(0x11<<16|dmaSelect|dmaRead, 20000, 0x2000), []byte{8, 4, 0, 0, 0, 0})
	f.Add(describe(0x20<<16|dmaSelect|dmaWrite, 8, 0), []byte{8, 4, 0, 0, 0, 0, 1, 0x81, 0, 0, 0, 0})
	f.Add(describe(dmaSkip, 0xFFFFFFFF, 1<<63), []byte{4, 4, 1, 0, 0, 0, 8, 4, 0, 0, 0, 0, 0, 2, 0x11, 0x40, 0, 0})
	f.Fuzz(func(t *testing.T, ram, script []byte) {
		large := &source{size: 10000}
		r := newRig(t, Item{Key: 0x11, Content: large}, Item{Name: "r", Content: text("read-only")},
			Item{Name: "w", Content: text("writable"), Written: func(offset int, p []byte) {
				if offset < 0 || len(p) == 0 || offset+len(p) > 8 {
					t.Errorf("told of %d bytes at %d", len(p), offset)
				}
			}})
		if err := r.ram.WriteAt(ram[:min(len(ram), ramSize)], 0); err != nil {
			t.Fatal(err)
		}
		for len(script) >= 6 {
			offset, size, read := uint64(script[0]%Ports), uint64(script[1]&7), script[1]&0x80 != 0
			data := bytes.Clone(script[2:6])
			script = script[6:]
			if size != 1 && size != 2 && size != 4 || offset+size > Ports {
				continue
			}
			if read {
				r.dev.Read(offset, data[:size])
			} else {
				r.dev.Write(offset, data[:size])
			}
			s := r.dev.State()
			if it := r.dev.items[s.Key]; it == nil && s.Offset != 0 || it != nil && s.Offset > it.size {
				t.Fatalf("offset %d of item %#x", s.Offset, s.Key)
			}
		}
		if got := r.read(0x20, 10); string(got) != "read-only\x00" {
			t.Errorf("a read-only item is now %q", got)
		}
	})
}
