package qcow2

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// Types of header extensions. Each is its type, the length of its data, and the
// data filled up to a multiple of 8.
const (
	extEnd           = 0
	extBackingFormat = 0xe2792aca
	extFeatureNames  = 0x6803f857
	extBitmaps       = 0x23852875
)

// Entries of the feature name table: the kind of feature, the bit, the name.
const (
	featureEntry   = 48
	maxFormatName  = 64
	bitmapsLength  = 24
	featureNameMax = featureEntry - 2
)

// feature is a bit of one of the three sets of features.
type feature struct {
	set, bit uint8
}

// extensions are what the header extensions say.
type extensions struct {
	backingFormat string
	names         map[feature]string
	bitmaps       *bitmaps
}

// bitmaps is where the image's bitmaps are.
type bitmaps struct {
	count           uint32
	directoryLength uint64
	directoryOffset uint64
}

// parseExtensions reads the extensions from the first cluster. The area ends
// where the backing file's name begins.
func parseExtensions(first []byte, h *header) (x extensions, err error) {
	area := first
	if h.backingOffset != 0 {
		area = first[:h.backingOffset]
	}
	area = area[h.length:]
	for len(area) >= 8 {
		kind, n := binary.BigEndian.Uint32(area), uint64(binary.BigEndian.Uint32(area[4:]))
		if kind == extEnd {
			return x, nil
		}
		area = area[8:]
		if n > uint64(len(area)) {
			return x, badHeader("header extension %#x of %d bytes reaches beyond the header", kind, n)
		}
		if err := x.take(kind, area[:n]); err != nil {
			return x, err
		}
		area = area[min((n+7)&^7, uint64(len(area))):]
	}
	return x, nil
}

func (x *extensions) take(kind uint32, data []byte) error {
	switch kind {
	case extBackingFormat:
		if len(data) > maxFormatName {
			return badHeader("the backing file's format has a name of %d bytes", len(data))
		}
		x.backingFormat = string(data)
	case extFeatureNames:
		x.names = make(map[feature]string)
		for ; len(data) >= featureEntry; data = data[featureEntry:] {
			name, _, _ := bytes.Cut(data[2:featureEntry], []byte{0})
			x.names[feature{data[0], data[1]}] = strings.ToValidUTF8(string(name), "?")
		}
	case extBitmaps:
		if len(data) < bitmapsLength {
			return badHeader("the bitmaps extension has %d bytes, not %d", len(data), bitmapsLength)
		}
		x.bitmaps = &bitmaps{
			count:           binary.BigEndian.Uint32(data),
			directoryLength: binary.BigEndian.Uint64(data[8:]),
			directoryOffset: binary.BigEndian.Uint64(data[16:]),
		}
	}
	return nil
}

// appendExtension appends one to a header.
func appendExtension(p []byte, kind uint32, data []byte) []byte {
	p = binary.BigEndian.AppendUint32(p, kind)
	p = binary.BigEndian.AppendUint32(p, uint32(len(data)))
	p = append(p, data...)
	return append(p, make([]byte, -len(p)&7)...)
}

// featureNames is the feature name table of new images.
func featureNames() []byte {
	var p []byte
	for _, f := range []struct {
		feature
		name string
	}{
		{feature{0, 0}, "dirty bit"},
		{feature{0, 1}, "corrupt bit"},
		{feature{0, 2}, "external data file"},
		{feature{0, 3}, "compression type"},
		{feature{0, 4}, "extended L2 entries"},
		{feature{1, 0}, "lazy refcounts"},
		{feature{2, 0}, "bitmaps"},
		{feature{2, 1}, "raw external data"},
	} {
		name := make([]byte, featureNameMax)
		copy(name, f.name)
		p = append(append(p, f.set, f.bit), name...)
	}
	return p
}
