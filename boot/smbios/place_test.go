package smbios

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

func TestSizes(t *testing.T) {
	for name, sizes := range map[string][2]int{
		"32-bit entry point": {binary.Size(entryPoint32{}), entryPoint32Size},
		"64-bit entry point": {binary.Size(entryPoint64{}), entryPoint64Size},
		"BIOS":               {binary.Size(biosInformation{}) + headerSize, 0x18},
		"system":             {binary.Size(systemInformation{}) + headerSize, 0x1B},
		"base board":         {binary.Size(baseBoardInformation{}) + headerSize, 0x0F},
		"chassis":            {binary.Size(chassisInformation{}) + headerSize, 0x16},
		"processor 2.8":      {binary.Size(processorInformation{}) + headerSize, 0x2A},
		"processor 3.0":      {binary.Size(processorInformation30{}) + headerSize, 0x30},
		"memory array":       {binary.Size(memoryArray{}) + headerSize, 0x17},
		"memory device":      {binary.Size(memoryDevice{}) + headerSize, 0x28},
		"mapped address":     {binary.Size(mappedAddress{}) + headerSize, 0x1F},
		"boot":               {binary.Size(bootInformation{}) + headerSize, 0x0B},
	} {
		if sizes[0] != sizes[1] {
			t.Errorf("%s has %d bytes, want %d", name, sizes[0], sizes[1])
		}
	}
}

func TestPlace(t *testing.T) {
	for _, v := range []Version{V2_8, V3_0} {
		tables := mustBuild(t, fullConfig(v))
		anchor, data := bytes.Clone(tables.Anchor), bytes.Clone(tables.Data)
		size := uint64(len(data))
		for _, addrs := range [][2]uint64{
			{0xF_0020, 0xF_0000},
			{0xF_0000 - size, 0xF_0000},
			{0, 0xF_FFE0},
			{1<<32 - size, 0xF_8000},
			{0xE_0001, 0xF_5A10},
		} {
			image, err := tables.Place(addrs[0], addrs[1])
			if err != nil {
				t.Error(err)
				continue
			}
			if image.DataAddr != addrs[0] || image.AnchorAddr != addrs[1] || !bytes.Equal(image.Data, data) {
				t.Errorf("placed at %#x and %#x, want %#x", image.DataAddr, image.AnchorAddr, addrs)
			}
			if s := sum(image.Anchor); s != 0 {
				t.Errorf("version %v at %#x: the anchor sums to %#x", v, addrs, s)
			}
		}
		if !bytes.Equal(tables.Anchor, anchor) || !bytes.Equal(tables.Data, data) {
			t.Error("Place changed the tables")
		}
	}
}

func TestPlaceRefused(t *testing.T) {
	tables := mustBuild(t, fullConfig(V2_8))
	for _, test := range []struct {
		name         string
		data, anchor uint64
		want         string
	}{
		{"data across 4 GiB", 1<<32 - 64, 0xF_0000, "below 4 GiB"},
		{"data above 4 GiB", 1 << 32, 0xF_0000, "below 4 GiB"},
		{"data at the end of memory", 1<<64 - 64, 0xF_0000, "below 4 GiB"},
		{"anchor not aligned", mib, 0xF_0008, "not aligned to 16"},
		{"anchor below", mib, 0xE_FFF0, "outside"},
		{"anchor across the end", mib, 0xF_FFF0, "outside"},
		{"anchor at the end of memory", mib, 1<<64 - 16, "outside"},
		{"overlap", 0xF_0010, 0xF_0000, "overlaps"},
		{"overlap at the start", 0xF_0000, 0xF_0010, "overlaps"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := tables.Place(test.data, test.anchor)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
