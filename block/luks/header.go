package luks

import (
	"fmt"
	"slices"

	"github.com/govmm/govmm/block/crypt"
)

// Store is what a container is read from: a block.Layer, or a part of a file.
type Store interface {
	// Size is in bytes.
	Size() int64
	// ReadVec fills vec from offset on, which is in bytes.
	ReadVec(vec [][]byte, offset int64) error
}

// Header is what a container says of itself.
type Header struct {
	Version int // 1 or 2
	UUID    string
	Label   string // LUKS2

	// Cipher is the name of the cipher, as package crypt has it, and KeySize the
	// length of the volume key in bytes.
	Cipher  string
	KeySize int
	// SectorSize is how many bytes are encrypted at once, and FirstSector the
	// number of the first sector.
	SectorSize  int
	FirstSector uint64
	// Offset is where the encrypted disk begins, in bytes, and Size its length, 0
	// for all that follows.
	Offset, Size int64

	// Slots are the key slots in use, in the order in which they are tried.
	Slots []Slot

	digests []digest
}

// Slot is a key slot in use.
type Slot struct {
	Number int
	KDF    KDF
	// Split is the hash function with which the key is spread.
	Split string
	// Offset and Size are where the spread key is in the container, in bytes.
	Offset, Size int64
	// Cipher and AreaKeySize say how it is encrypted.
	Cipher      string
	AreaKeySize int

	salt     []byte
	priority int
	digest   int // number of the one in Header.digests that knows the key
}

// digest tells whether a volume key is right.
type digest struct {
	kdf  KDF
	salt []byte
	sum  []byte
}

// ReadHeader reads and checks the header of a container. The error wraps
// ErrNotLUKS, ErrCorrupt or ErrUnsupported, or is the store's.
func ReadHeader(s Store) (*Header, error) {
	var start [headerSize1]byte
	if s.Size() < int64(len(start)) {
		return nil, ErrNotLUKS
	}
	if err := s.ReadVec([][]byte{start[:]}, 0); err != nil {
		return nil, err
	}
	var h *Header
	var err error
	switch version := versionOf(start[:]); version {
	case 1:
		h, err = parse1(start[:], s.Size())
	case 0, 2: // 0: what stands at the beginning may be damaged
		h, err = read2(s)
	default:
		if h, err = read2(s); err != nil {
			return nil, fmt.Errorf("version %d of LUKS %w; 1 and 2 are", version, ErrUnsupported)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := h.check(s.Size()); err != nil {
		return nil, err
	}
	slices.SortStableFunc(h.Slots, func(a, b Slot) int { return b.priority - a.priority })
	return h, nil
}

// check is for both versions.
func (h *Header) check(size int64) error {
	if err := knownCipher(h.Cipher, h.KeySize); err != nil {
		return err
	}
	for i := range h.Slots {
		if err := h.checkSlot(&h.Slots[i], size); err != nil {
			return fmt.Errorf("key slot %d: %w", h.Slots[i].Number, err)
		}
	}
	for _, d := range h.digests {
		if err := d.kdf.check(); err != nil {
			return fmt.Errorf("digest of the volume key: %w", err)
		}
		// A digest of no bytes would take any key for the right one.
		if n := len(d.sum); n < 20 || n > 64 {
			return corrupt("the digest of the volume key is %d bytes long", n)
		}
	}
	return h.checkOverlap()
}

func (h *Header) checkSlot(s *Slot, size int64) error {
	if err := s.KDF.check(); err != nil {
		return err
	}
	if _, err := newHash(s.Split); err != nil {
		return err
	}
	if err := knownCipher(s.Cipher, s.AreaKeySize); err != nil {
		return err
	}
	if n := materialSize(h.KeySize); s.Size < n || s.Offset < 0 || s.Offset > size || s.Size > size-s.Offset {
		return corrupt("its area of %d bytes at %d does not hold the %d bytes of a key, or is not in the container", s.Size, s.Offset, n)
	}
	if h.Offset > 0 && s.Offset+s.Size > h.Offset {
		return corrupt("its area of %d bytes at %d reaches into the encrypted disk, which begins at %d", s.Size, s.Offset, h.Offset)
	}
	return nil
}

func knownCipher(name string, keySize int) error {
	if err := crypt.Known(name, keySize); err != nil {
		return &unsupportedCipher{err}
	}
	return nil
}

// checkOverlap refuses key slots that share an area.
func (h *Header) checkOverlap() error {
	sorted := slices.Clone(h.Slots)
	slices.SortFunc(sorted, func(a, b Slot) int {
		switch {
		case a.Offset < b.Offset:
			return -1
		case a.Offset > b.Offset:
			return 1
		}
		return 0
	})
	for i := 1; i < len(sorted); i++ {
		if a, b := &sorted[i-1], &sorted[i]; a.Offset+a.Size > b.Offset {
			return corrupt("the areas of key slots %d and %d overlap", a.Number, b.Number)
		}
	}
	return nil
}

// materialSize is how many bytes a spread key takes up: whole sectors.
func materialSize(keySize int) int64 {
	return (int64(keySize)*stripes + crypt.SectorSize - 1) / crypt.SectorSize * crypt.SectorSize
}

// text is a field of a header without the zeroes at its end.
func text(field []byte) string {
	if i := slices.Index(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}
