package luks

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/crypt"
)

// Options say how to open a container.
type Options struct {
	// Passphrase opens one of the key slots. It is not kept.
	Passphrase []byte

	// Version is which one the container must have, 0 for either.
	Version int

	// ReadOnly refuses writing, also where the store below allows it.
	ReadOnly bool

	Limits Limits
}

// Open opens a container: the layer it returns is the decrypted disk, and closes
// the store below with itself. After an error the store is still the caller's;
// the error wraps one of this package's, or is the store's or the context's.
func Open(ctx context.Context, below block.Layer, o Options) (*crypt.Layer, error) {
	h, err := ReadHeader(below)
	if err != nil {
		return nil, err
	}
	if err := h.checkVersion(o.Version); err != nil {
		return nil, err
	}
	c, err := h.Unlock(ctx, below, o.Passphrase, o.Limits)
	if err != nil {
		return nil, err
	}
	return crypt.NewLayer(below, c, crypt.Options{
		Offset: h.Offset, Size: h.Size, FirstSector: h.FirstSector, ReadOnly: o.ReadOnly,
	})
}

// checkVersion refuses another version than the one wanted, 0 for either.
func (h *Header) checkVersion(wanted int) error {
	if wanted != 0 && h.Version != wanted {
		return fmt.Errorf("version %d of LUKS, where %d is said to be, %w", h.Version, wanted, ErrUnsupported)
	}
	return nil
}

// Unlock finds the key slot that a passphrase opens, and returns the cipher under
// the volume key in it. It takes as long as those who made the slots wanted.
func (h *Header) Unlock(ctx context.Context, s Store, passphrase []byte, limits Limits) (*crypt.Cipher, error) {
	key, err := h.volumeKey(ctx, s, passphrase, limits)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return crypt.New(h.Cipher, key, h.SectorSize)
}

func (h *Header) volumeKey(ctx context.Context, s Store, passphrase []byte, limits Limits) ([]byte, error) {
	limits = limits.withDefaults()
	var unknown error // why it is not known that the passphrase is wrong
	for i := range h.Slots {
		slot := &h.Slots[i]
		if slot.priority <= 0 && h.Version == 2 {
			continue // to be left alone, unless it is asked for by its number
		}
		key, err := h.open(ctx, s, slot, passphrase, &limits)
		switch {
		case err == nil:
			return key, nil
		case errors.Is(err, ErrPassphrase):
		case errors.Is(err, ErrCost):
			unknown = fmt.Errorf("key slot %d: %w", slot.Number, err)
		default:
			return nil, fmt.Errorf("key slot %d: %w", slot.Number, err)
		}
	}
	if unknown != nil {
		return nil, unknown
	}
	return nil, ErrPassphrase
}

// open tries a key slot.
func (h *Header) open(ctx context.Context, s Store, slot *Slot, passphrase []byte, limits *Limits) ([]byte, error) {
	d := &h.digests[slot.digest]
	if err := limits.take(&d.kdf, len(d.sum)); err != nil {
		return nil, err
	}
	if err := limits.take(&slot.KDF, slot.AreaKeySize); err != nil {
		return nil, err
	}
	derived, err := slot.KDF.derive(ctx, passphrase, slot.salt, slot.AreaKeySize)
	if err != nil {
		return nil, err
	}
	defer clear(derived)
	c, err := crypt.New(slot.Cipher, derived, crypt.SectorSize)
	if err != nil {
		return nil, err
	}
	newSplit, err := newHash(slot.Split)
	if err != nil {
		return nil, err
	}
	material := make([]byte, materialSize(h.KeySize))
	defer clear(material)
	if err := s.ReadVec([][]byte{material}, slot.Offset); err != nil {
		return nil, err
	}
	c.Decrypt(material, material, 0)
	key := merge(material, h.KeySize, newSplit())
	sum, err := d.kdf.derive(ctx, key, d.salt, len(d.sum))
	if err == nil && subtle.ConstantTimeCompare(sum, d.sum) == 0 {
		err = ErrPassphrase
	}
	if err != nil {
		clear(key)
		return nil, err
	}
	return key, nil
}
