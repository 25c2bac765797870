package luks

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/crypt"
)

// CreateOptions say what container to make. The zero value, with a passphrase,
// makes what cryptsetup makes by default.
type CreateOptions struct {
	// Version is 1 or 2; 2 if 0.
	Version int
	// Passphrase opens the container, by key slot 0. It is not kept.
	Passphrase []byte

	// Cipher is one of package crypt's; aes-xts-plain64 if empty.
	Cipher string
	// KeySize is the length of the volume key in bytes; 0 for the longest that the
	// cipher has.
	KeySize int
	// Hash is what digests and PBKDF2 use, sha256 if empty.
	Hash string
	// SectorSize is how many bytes are encrypted at once: 512 if 0, and in LUKS2
	// also 1024, 2048 and 4096.
	SectorSize int

	// KDF derives the key slot's key. With an empty Type it is Argon2id in LUKS2
	// and PBKDF2 in LUKS1; what is 0 in it is measured out to take IterTime.
	KDF KDF
	// IterTime is how long opening is to take on this machine, 2 s if 0.
	IterTime time.Duration

	// Size is that of the encrypted disk in bytes, for which the store is resized.
	// 0 is what there is room for.
	Size int64

	UUID  string // a random one if empty
	Label string // for LUKS2, at most 47 bytes

	// Rand is where keys and salts come from; nil is the host's.
	Rand io.Reader
}

// ErrOptions is what Create cannot make a container of.
var ErrOptions = errors.New("invalid options for a LUKS container")

func badOption(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
}

// withDefaults fills in what is not said, and checks all.
func (o CreateOptions) withDefaults() (CreateOptions, error) {
	if o.Version == 0 {
		o.Version = 2
	}
	if o.Cipher == "" {
		o.Cipher = "aes-xts-plain64"
	}
	if o.KeySize == 0 {
		o.KeySize = 32
		if strings.Contains(o.Cipher, "-xts-") {
			o.KeySize = 64
		}
	}
	if o.Hash == "" {
		o.Hash = "sha256"
	}
	if o.SectorSize == 0 {
		o.SectorSize = crypt.SectorSize
	}
	if o.IterTime == 0 {
		o.IterTime = 2 * time.Second
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.KDF.Type == "" {
		o.KDF.Type = Argon2id
		if o.Version == 1 {
			o.KDF.Type = PBKDF2
		}
	}
	if o.KDF.Type == PBKDF2 && o.KDF.Hash == "" {
		o.KDF.Hash = o.Hash
	}
	switch {
	case o.Version != 1 && o.Version != 2:
		return o, badOption("version %d; 1 and 2 are", o.Version)
	case len(o.Passphrase) == 0:
		return o, badOption("the passphrase is empty")
	case o.Version == 1 && o.SectorSize != crypt.SectorSize:
		return o, badOption("LUKS1 has only sectors of 512 bytes")
	case o.Version == 1 && (o.KDF.Type != PBKDF2 || o.KDF.Hash != o.Hash):
		return o, badOption("LUKS1 derives keys by PBKDF2 alone, with the hash function of the container")
	case len(o.Label) >= labelSize2 || o.Version == 1 && o.Label != "":
		return o, badOption("the label %q is too long, or not for LUKS2", o.Label)
	case len(o.UUID) >= 40:
		return o, badOption("the UUID %q is too long", o.UUID)
	case o.Size < 0 || o.Size%int64(o.SectorSize) != 0:
		return o, badOption("a size of %d bytes, which is not of whole sectors", o.Size)
	}
	if err := crypt.Known(o.Cipher, o.KeySize); err != nil {
		return o, badOption("%v", err)
	}
	if _, err := newHash(o.Hash); err != nil {
		return o, badOption("%v", err)
	}
	return o, nil
}

// DataOffset is where the encrypted disk begins in a container that Create makes,
// in bytes: so much longer than the disk is the store.
func (o CreateOptions) DataOffset() (int64, error) {
	o, err := o.withDefaults()
	if err != nil {
		return 0, err
	}
	return o.dataOffset(), nil
}

func (o *CreateOptions) dataOffset() int64 {
	if o.Version == 2 {
		return 16 << 20
	}
	const align = 1 << 20
	return (slotOffset1(slots1, o.KeySize) + align - 1) &^ (align - 1)
}

// Create makes a container in a store, in place of what is there, and opens it.
// What the encrypted disk holds is not written: it reads as noise, unless the
// caller writes zeroes. After an error the store is still the caller's, and is no
// container.
func Create(ctx context.Context, below block.Layer, o CreateOptions) (*crypt.Layer, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	offset := o.dataOffset()
	if err := makeRoom(below, offset, o.Size); err != nil {
		return nil, err
	}
	if err := o.KDF.measure(ctx, o.IterTime, o.KeySize); err != nil {
		return nil, err
	}
	if o.UUID == "" {
		if o.UUID, err = newUUID(o.Rand); err != nil {
			return nil, err
		}
	}
	key := make([]byte, o.KeySize)
	defer clear(key)
	if _, err := io.ReadFull(o.Rand, key); err != nil {
		return nil, err
	}
	h := &Header{Version: o.Version, UUID: o.UUID, Label: o.Label, Cipher: o.Cipher, KeySize: o.KeySize,
		SectorSize: o.SectorSize, Offset: offset}
	if err := h.addDigest(ctx, &o, key); err != nil {
		return nil, err
	}
	material, err := h.addSlot(ctx, &o, key)
	if err != nil {
		return nil, err
	}
	// What was there before, keys above all, is overwritten first; the header that
	// makes a container of it comes last.
	for _, step := range []func() error{
		func() error { return below.WriteZeroes(0, offset, true) },
		below.Flush,
		func() error { return below.WriteVec([][]byte{material}, h.Slots[0].Offset) },
		below.Flush,
		func() error { return h.write(below, o.Hash, o.Rand) },
		below.Flush,
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := step(); err != nil {
			return nil, err
		}
	}
	c, err := crypt.New(h.Cipher, key, h.SectorSize)
	if err != nil {
		return nil, err
	}
	return crypt.NewLayer(below, c, crypt.Options{Offset: offset})
}

// makeRoom makes the store as long as it has to be.
func makeRoom(below block.Layer, offset, size int64) error {
	if size == 0 || below.Size() == offset+size {
		if below.Size() < offset {
			return fmt.Errorf("%d bytes, of which a LUKS header takes up %d: %w", below.Size(), offset, block.ErrOutOfRange)
		}
		return nil
	}
	r, ok := below.(block.Resizer)
	if !ok {
		return fmt.Errorf("the container cannot be made %d bytes long: %w", offset+size, errors.ErrUnsupported)
	}
	return r.Resize(offset + size)
}

// addDigest makes the digest of the volume key. The key is random, so it needs no
// derivation that takes long.
func (h *Header) addDigest(ctx context.Context, o *CreateOptions, key []byte) error {
	newSum, err := newHash(o.Hash)
	if err != nil {
		return err
	}
	d := digest{kdf: KDF{Type: PBKDF2, Hash: o.Hash, Iterations: minIterations}, salt: make([]byte, saltSize)}
	if _, err := io.ReadFull(o.Rand, d.salt); err != nil {
		return err
	}
	n := newSum().Size()
	if h.Version == 1 {
		n = digestSize1
	}
	if d.sum, err = d.kdf.derive(ctx, key, d.salt, n); err != nil {
		return err
	}
	h.digests = []digest{d}
	return nil
}

// addSlot makes key slot 0, and returns what stands in its area.
func (h *Header) addSlot(ctx context.Context, o *CreateOptions, key []byte) ([]byte, error) {
	s := Slot{KDF: o.KDF, Split: o.Hash, Offset: slotOffset1(0, h.KeySize), Cipher: h.Cipher, AreaKeySize: h.KeySize,
		salt: make([]byte, saltSize), priority: 1}
	s.Size = materialSize(h.KeySize)
	if h.Version == 2 {
		const align = 4096
		s.Offset, s.Size = 2*defaultTotal, (s.Size+align-1)&^(align-1)
	}
	if _, err := io.ReadFull(o.Rand, s.salt); err != nil {
		return nil, err
	}
	newSplit, err := newHash(s.Split)
	if err != nil {
		return nil, err
	}
	spread, err := split(key, newSplit(), o.Rand)
	if err != nil {
		return nil, err
	}
	material := make([]byte, materialSize(h.KeySize))
	copy(material, spread)
	clear(spread)
	derived, err := s.KDF.derive(ctx, o.Passphrase, s.salt, s.AreaKeySize)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	c, err := crypt.New(s.Cipher, derived, crypt.SectorSize)
	if err != nil {
		return nil, err
	}
	c.Encrypt(material, material, 0)
	h.Slots = []Slot{s}
	return material, nil
}

// write writes the header, of which the first part decides last.
func (h *Header) write(below block.Layer, hashName string, random io.Reader) error {
	if h.Version == 1 {
		return below.WriteVec([][]byte{h.put1()}, 0)
	}
	area, err := json.Marshal(h.area2())
	if err != nil {
		return err
	}
	for _, at := range []int64{defaultTotal, 0} {
		salt := make([]byte, 64)
		if _, err := io.ReadFull(random, salt); err != nil {
			return err
		}
		b := binary2{total: defaultTotal, sequence: 1, label: h.Label, sumHash: hashName, uuid: h.UUID, offset: at, json: area}
		p, err := b.put2(salt)
		if err != nil {
			return err
		}
		if err := below.WriteVec([][]byte{p}, at); err != nil {
			return err
		}
	}
	return nil
}

// newUUID is of version 4, RFC 9562.
func newUUID(random io.Reader) (string, error) {
	var u [16]byte
	if _, err := io.ReadFull(random, u[:]); err != nil {
		return "", err
	}
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]), nil
}
