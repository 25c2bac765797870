package vmm

import (
	"slices"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/kvm"
)

// shadow is the memory from 0xC0000 to 1 MiB, where the host bridge's PAM
// registers say, for each part, whether it reads RAM or the firmware's ROM, and
// whether writes reach RAM.
//
// RAM that can be written is a memory slot, what can only be read is a read-only
// one. A write that KVM cannot carry out comes out as an access to memory space:
// it is dropped there, unless it goes to RAM behind the ROM (writeThrough).
type shadow struct {
	slots *slots
	mmio  *bus.Bus
	ram   []byte // of the whole area
	rom   []byte // the firmware's end, which ends where the area does
	fail  func(error)
	log   *bus.GuestLog

	areas []shadowArea
}

type shadowArea struct {
	pci.ShadowArea
	slot   uint32
	mapped bool // there is a slot
	bus    bool // writes are caught
}

// set follows the PAM registers. What did not change is not touched: an idle
// processor may have its code there.
func (s *shadow) set(pam [7]uint8) {
	want := pci.ShadowAreas(pam, uint64(len(s.rom)))
	same := func(a shadowArea) bool { return slices.Contains(want, a.ShadowArea) }
	var kept []shadowArea
	for _, a := range s.areas {
		if same(a) {
			kept = append(kept, a)
		} else {
			s.unmap(a)
		}
	}
	s.areas = kept
	for _, w := range want {
		if !slices.ContainsFunc(kept, func(a shadowArea) bool { return a.ShadowArea == w }) {
			s.areas = append(s.areas, s.place(w))
		}
	}
}

func (s *shadow) place(w pci.ShadowArea) shadowArea {
	a := shadowArea{ShadowArea: w}
	at := w.GPA - pci.ShadowBase
	ram := s.ram[at : at+w.Size]
	host, flags := ram, kvm.MemFlags(0)
	switch {
	case w.Read == pci.ShadowRAM && w.WriteRAM:
	case w.Read == pci.ShadowRAM:
		flags = kvm.MemReadOnly
	case w.Read == pci.ShadowROM:
		skip := uint64(len(s.rom)) - (pci.ShadowEnd - w.GPA)
		host, flags = s.rom[skip:skip+w.Size], kvm.MemReadOnly
	default:
		host = nil
	}
	if host != nil {
		slot, err := s.slots.add(w.GPA, host, flags)
		if err != nil {
			s.fail(err)
			return a
		}
		a.slot, a.mapped = slot, true
	}
	if w.WriteRAM && w.Read != pci.ShadowRAM {
		err := s.mmio.Add(w.GPA, w.Size, "RAM behind the firmware", writeThrough(ram))
		if err != nil && s.log.Allow() {
			s.log.Warn("writes are lost, as the guest put a device where they would go", "error", err)
		}
		a.bus = err == nil
	}
	return a
}

func (s *shadow) unmap(a shadowArea) {
	if a.mapped {
		if err := s.slots.remove(a.slot); err != nil {
			s.fail(err)
		}
	}
	if a.bus {
		if err := s.mmio.Remove(a.GPA); err != nil {
			s.fail(err)
		}
	}
}

// writeThrough is RAM that is written to but not read. Reads of ROM do not come
// here; where there is none, nobody answers.
type writeThrough []byte

func (w writeThrough) Read(_ uint64, data []byte) {
	for i := range data {
		data[i] = 0xFF
	}
}

func (w writeThrough) Write(offset uint64, data []byte) { copy(w[offset:], data) }
