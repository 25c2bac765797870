package luks

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// The JSON area of LUKS2, section 3 of its specification. Numbers of 64 bits are
// written as strings.
type area2 struct {
	Keyslots map[string]*keyslot2 `json:"keyslots"`
	Tokens   map[string]any       `json:"tokens"`
	Segments map[string]*segment2 `json:"segments"`
	Digests  map[string]*digest2  `json:"digests"`
	Config   config2              `json:"config"`
}

type keyslot2 struct {
	Type     string   `json:"type"` // luks2
	KeySize  int      `json:"key_size"`
	Priority *int     `json:"priority,omitempty"` // 0 to be left alone, 1, 2 to be tried first
	AF       split2   `json:"af"`
	Area     keyArea2 `json:"area"`
	KDF      kdf2     `json:"kdf"`
}

type split2 struct {
	Type    string `json:"type"` // luks1
	Stripes int    `json:"stripes"`
	Hash    string `json:"hash"`
}

type keyArea2 struct {
	Type       string `json:"type"` // raw
	Offset     int64  `json:"offset,string"`
	Size       int64  `json:"size,string"`
	Encryption string `json:"encryption"`
	KeySize    int    `json:"key_size"`
}

type kdf2 struct {
	Type       string `json:"type"`
	Hash       string `json:"hash,omitempty"`
	Iterations uint32 `json:"iterations,omitempty"`
	Time       uint32 `json:"time,omitempty"`
	Memory     uint32 `json:"memory,omitempty"`
	CPUs       uint8  `json:"cpus,omitempty"`
	Salt       []byte `json:"salt"` // in base64
}

type segment2 struct {
	Type       string `json:"type"` // crypt
	Offset     int64  `json:"offset,string"`
	Size       string `json:"size"` // dynamic: up to the end
	IVTweak    uint64 `json:"iv_tweak,string"`
	Encryption string `json:"encryption"`
	SectorSize int    `json:"sector_size"`
	Integrity  any    `json:"integrity,omitempty"`
}

type digest2 struct {
	Type       string   `json:"type"` // pbkdf2
	Keyslots   []string `json:"keyslots"`
	Segments   []string `json:"segments"`
	Hash       string   `json:"hash"`
	Iterations uint32   `json:"iterations"`
	Salt       []byte   `json:"salt"`
	Digest     []byte   `json:"digest"`
}

type config2 struct {
	JSONSize     int64          `json:"json_size,string"`
	KeyslotsSize int64          `json:"keyslots_size,string"`
	Flags        []string       `json:"flags,omitempty"`
	Requirements *requirements2 `json:"requirements,omitempty"`
}

type requirements2 struct {
	Mandatory []string `json:"mandatory"`
}

const (
	maxSlots2   = 32
	maxDigests2 = 32
)

// parse2 reads a header whose checksum is right, of a container of size bytes.
func parse2(b *binary2, size int64) (*Header, error) {
	var a area2
	if err := json.Unmarshal(b.json, &a); err != nil {
		return nil, corrupt("JSON area: %v", err)
	}
	if r := a.Config.Requirements; r != nil && len(r.Mandatory) > 0 {
		return nil, fmt.Errorf("a container that needs %s %w", clip(r.Mandatory[0]), ErrUnsupported)
	}
	if n := a.Config.KeyslotsSize; n < 0 || n > size-2*b.total {
		return nil, corrupt("the key slots take up %d bytes, in a container of %d", n, size)
	}
	if len(a.Keyslots) > maxSlots2 || len(a.Digests) > maxDigests2 {
		return nil, corrupt("%d key slots and %d digests", len(a.Keyslots), len(a.Digests))
	}
	h := &Header{Version: 2, UUID: b.uuid, Label: b.label}
	segment, err := a.parseSegment(h, size)
	if err != nil {
		return nil, err
	}
	if h.Offset < 2*b.total+a.Config.KeyslotsSize {
		return nil, corrupt("the encrypted disk begins at %d, which is in the key slots", h.Offset)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Digests)) {
		d := a.Digests[name]
		if d == nil || !slices.Contains(d.Segments, segment) {
			continue // of another segment's key
		}
		if err := a.parseDigest(h, d, b); err != nil {
			return nil, err
		}
	}
	if len(h.digests) == 0 {
		return nil, corrupt("no digest of the volume key")
	}
	if h.KeySize == 0 {
		// No slot in use: any key length that the cipher has will do for a
		// header that no passphrase opens.
		h.KeySize = 64
	}
	slices.SortFunc(h.Slots, func(a, b Slot) int { return a.Number - b.Number })
	return h, nil
}

// parseSegment reads the one segment that a container has which nothing is done
// to, and returns its name.
func (a *area2) parseSegment(h *Header, size int64) (string, error) {
	if len(a.Segments) != 1 {
		return "", fmt.Errorf("a container of %d segments %w; one of one segment is", len(a.Segments), ErrUnsupported)
	}
	name := slices.Collect(maps.Keys(a.Segments))[0]
	s := a.Segments[name]
	switch {
	case s == nil:
		return "", corrupt("an empty segment")
	case s.Type != "crypt":
		return "", fmt.Errorf("a segment of type %s %w; crypt is", clip(s.Type), ErrUnsupported)
	case s.Integrity != nil:
		return "", fmt.Errorf("a segment with authentication tags %w", ErrUnsupported)
	}
	switch s.SectorSize {
	case 512, 1024, 2048, 4096:
	default:
		return "", corrupt("sectors of %d bytes", s.SectorSize)
	}
	if s.Offset == 0 {
		return "", errDetached
	}
	if s.Offset < 0 || s.Offset > size || s.Offset%512 != 0 {
		return "", corrupt("the encrypted disk begins at %d, in a container of %d bytes", s.Offset, size)
	}
	h.Cipher, h.SectorSize, h.Offset, h.FirstSector = s.Encryption, s.SectorSize, s.Offset, s.IVTweak
	if s.Size != "dynamic" {
		n, err := strconv.ParseInt(s.Size, 10, 64)
		if err != nil || n <= 0 || n > size-s.Offset || n%int64(s.SectorSize) != 0 {
			return "", corrupt("the encrypted disk is %s bytes long, in a container of %d bytes", clip(s.Size), size)
		}
		h.Size = n
	}
	return name, nil
}

// parseDigest reads a digest and the key slots that hold its key.
func (a *area2) parseDigest(h *Header, d *digest2, b *binary2) error {
	if d.Type != PBKDF2 {
		return fmt.Errorf("a digest by %s %w; pbkdf2 is", clip(d.Type), ErrUnsupported)
	}
	h.digests = append(h.digests, digest{
		kdf:  KDF{Type: PBKDF2, Hash: d.Hash, Iterations: d.Iterations},
		salt: d.Salt, sum: d.Digest,
	})
	for _, name := range d.Keyslots {
		number, err := strconv.Atoi(name)
		if err != nil || number < 0 || number >= maxSlots2 {
			return corrupt("a key slot with the number %s", clip(name))
		}
		k := a.Keyslots[name]
		if k == nil {
			return corrupt("key slot %d is not there", number)
		}
		if slices.ContainsFunc(h.Slots, func(s Slot) bool { return s.Number == number }) {
			return corrupt("key slot %d has two digests", number)
		}
		s, err := k.parse(number)
		if err != nil {
			return fmt.Errorf("key slot %d: %w", number, err)
		}
		if s.Offset < 2*b.total || s.Size > a.Config.KeyslotsSize || s.Offset-2*b.total > a.Config.KeyslotsSize-s.Size {
			return corrupt("the area of key slot %d, %d bytes at %d, is not among the key slots", number, s.Size, s.Offset)
		}
		if h.KeySize != 0 && h.KeySize != k.KeySize {
			return corrupt("key slots for volume keys of %d and %d bytes", h.KeySize, k.KeySize)
		}
		h.KeySize = k.KeySize
		s.digest = len(h.digests) - 1
		h.Slots = append(h.Slots, s)
	}
	return nil
}

func (k *keyslot2) parse(number int) (Slot, error) {
	switch {
	case k.Type != "luks2":
		return Slot{}, fmt.Errorf("type %s %w; luks2 is", clip(k.Type), ErrUnsupported)
	case k.AF.Type != "luks1":
		return Slot{}, fmt.Errorf("spreading the key by %s %w; luks1 is", clip(k.AF.Type), ErrUnsupported)
	case k.AF.Stripes != stripes:
		return Slot{}, corrupt("the key is spread over %d stripes, not %d", k.AF.Stripes, stripes)
	case k.Area.Type != "raw":
		return Slot{}, fmt.Errorf("an area of type %s %w; raw is", clip(k.Area.Type), ErrUnsupported)
	}
	s := Slot{
		Number: number,
		KDF: KDF{Type: k.KDF.Type, Hash: k.KDF.Hash, Iterations: k.KDF.Iterations,
			Time: k.KDF.Time, Memory: k.KDF.Memory, Threads: k.KDF.CPUs},
		Split:  k.AF.Hash,
		Offset: k.Area.Offset, Size: k.Area.Size,
		Cipher: k.Area.Encryption, AreaKeySize: k.Area.KeySize,
		salt: k.KDF.Salt, priority: 1,
	}
	if k.Priority != nil {
		s.priority = *k.Priority
	}
	return s, nil
}

// area2 is the JSON area of a header that Create makes.
func (h *Header) area2() *area2 {
	s, d := &h.Slots[0], &h.digests[0]
	number := strconv.Itoa(s.Number)
	return &area2{
		Keyslots: map[string]*keyslot2{number: {
			Type: "luks2", KeySize: h.KeySize,
			AF:   split2{Type: "luks1", Stripes: stripes, Hash: s.Split},
			Area: keyArea2{Type: "raw", Offset: s.Offset, Size: s.Size, Encryption: s.Cipher, KeySize: s.AreaKeySize},
			KDF: kdf2{Type: s.KDF.Type, Hash: s.KDF.Hash, Iterations: s.KDF.Iterations,
				Time: s.KDF.Time, Memory: s.KDF.Memory, CPUs: s.KDF.Threads, Salt: s.salt},
		}},
		Tokens: map[string]any{},
		Segments: map[string]*segment2{"0": {
			Type: "crypt", Offset: h.Offset, Size: "dynamic", IVTweak: h.FirstSector,
			Encryption: h.Cipher, SectorSize: h.SectorSize,
		}},
		Digests: map[string]*digest2{"0": {
			Type: PBKDF2, Keyslots: []string{number}, Segments: []string{"0"},
			Hash: d.kdf.Hash, Iterations: d.kdf.Iterations, Salt: d.salt, Digest: d.sum,
		}},
		Config: config2{JSONSize: defaultTotal - headerSize2, KeyslotsSize: h.Offset - 2*defaultTotal},
	}
}
