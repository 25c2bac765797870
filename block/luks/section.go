package luks

import (
	"context"
	"fmt"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/crypt"
)

// UnlockWithin opens a LUKS header that lies within another format's file, length
// bytes long from offset on, as in qcow2 images with the crypt method 2. The
// cipher it returns is for the sectors of that format's data; in qcow2 each is
// numbered by where it is in the file, in units of 512 bytes.
func UnlockWithin(ctx context.Context, s Store, offset, length int64, o Options) (*crypt.Cipher, error) {
	if offset < 0 || length < 0 || offset > s.Size() || length > s.Size()-offset {
		return nil, fmt.Errorf("a LUKS header of %d bytes at %d: %w", length, offset, block.ErrOutOfRange)
	}
	part := section{s, offset, length}
	h, err := ReadHeader(part)
	if err != nil {
		return nil, err
	}
	if err := h.checkVersion(o.Version); err != nil {
		return nil, err
	}
	return h.Unlock(ctx, part, o.Passphrase, o.Limits)
}

// section is a part of a store.
type section struct {
	store          Store
	offset, length int64
}

func (p section) Size() int64 { return p.length }

func (p section) ReadVec(vec [][]byte, offset int64) error {
	left := p.length - offset
	for _, b := range vec {
		left -= int64(len(b))
	}
	if offset < 0 || left < 0 {
		return block.ErrOutOfRange
	}
	return p.store.ReadVec(vec, p.offset+offset)
}
