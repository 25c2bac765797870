package pci_test

import (
	"encoding/binary"
	"log/slog"
	"testing"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/pci/pcitest"
)

// FuzzFunction lets a driver do whatever it likes with the registers. The
// function must survive that, and after a reset work as on the first day.
//
// An operation has 8 bytes: what, offset (2), size, value (4).
func FuzzFunction(f *testing.F) {
	op := func(what byte, offset uint16, size byte, v uint32) []byte {
		b := binary.LittleEndian.AppendUint16([]byte{what}, offset)
		return binary.LittleEndian.AppendUint32(append(b, size), v)
	}
	cat := func(ops ...[]byte) (all []byte) {
		for _, o := range ops {
			all = append(all, o...)
		}
		return all
	}
	f.Add(byte(0), cat(op(4, 0x14, 1, 3), op(4, 0x14, 1, 11), op(4, 0x1C, 2, 1), op(4, 0x14, 1, 15)))
	f.Add(byte(1), cat(op(4, 0x3000, 2, 0), op(6, 0, 0, 0), op(4, 0x16, 2, 1), op(4, 0x3A, 2, 1), op(4, 0x1C, 2, 1)))
	f.Add(byte(2), cat(op(2, 0x10, 2, 1), op(3, 0x13, 1, 0), op(2, 8, 4, 0), op(2, 8, 4, 0x100), op(2, 0x12, 1, 7)))
	f.Add(byte(3), cat(op(0, 0x88, 1, 4), op(0, 0x90, 4, 1), op(1, 0x94, 4, 0), op(0, 0x20, 4, 0xFD000000), op(0, 4, 2, 7)))
	mem, err := memory.New(memory.Config{Size: 16 << 20})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = mem.Close() })
	f.Fuzz(func(t *testing.T, start byte, ops []byte) {
		d := newEcho(8, 4)
		d.features = virtio.FeaturePackedRing | virtio.FeatureInOrder
		m := pcitest.New(t, pcitest.Options{
			Device: ringEcho{d}, Memory: mem, Legacy: start&2 != 0, INTx: start&4 != 0,
			IOEvents: &events{}, Vectors: &kernelVectors{}, Log: slog.New(slog.DiscardHandler),
		})
		const all = virtio.FeatureIndirect | virtio.FeatureEventIndex | virtio.FeatureRingReset
		if start&1 != 0 {
			m.Start(all)
		} else {
			m.Negotiate(all)
		}
		for n := 0; len(ops) >= 8 && n < 200; ops, n = ops[8:], n+1 {
			offset, v := binary.LittleEndian.Uint16(ops[1:]), binary.LittleEndian.Uint32(ops[4:])
			data := make([]byte, 1<<(ops[3]%4))
			for i := range min(4, len(data)) {
				data[i] = byte(v >> (8 * i))
			}
			small := data[:min(len(data), 4)]
			within := uint8(offset) &^ uint8(len(small)-1)
			switch ops[0] % 8 {
			case 0:
				m.Function.WriteConfig(within, small)
			case 1:
				m.Function.ReadConfig(within, small)
			case 2:
				m.Ports.Write(0xC000+uint64(offset%128), small)
			case 3:
				m.Ports.Read(0xC000+uint64(offset%128), small)
			case 4:
				m.Device.Write(0xFE000000+uint64(offset%0x4000), data)
			case 5:
				m.Device.Read(0xFE000000+uint64(offset%0x4000), data)
			case 6:
				if in := d.activation.Interrupts; in != nil {
					in.ConfigChanged()
				}
			case 7:
				m.Device.Write(0xFEB00000+uint64(offset%0x1000), data)
			}
		}
		m.Bus.Reset()
		if s := m.Function.State(); s.Active || s.Status != 0 {
			t.Fatalf("after a reset %+v", s)
		}
		m.Place()
		m.Start(all)
		for _, q := range m.Queues {
			exchange(t, q, "alive")
		}
	})
}
