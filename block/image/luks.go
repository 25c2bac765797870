package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/luks"
)

// luksFormat is an encrypted disk. As in the XML, version 1 is called luks.
func luksFormat(version int) *Format {
	name := "luks"
	if version == 2 {
		name = "luks2"
	}
	f := &Format{
		Name: name, Creates: true,
		Options: []Option{
			{"cipher-alg", "aes-128, aes-192 or aes-256 (aes-256)"},
			{"cipher-mode", "xts or cbc (xts)"},
			{"ivgen-alg", "plain, plain64 or essiv, with sha256 (plain64)"},
			{"hash-alg", "sha1, sha256, sha512, ... (sha256)"},
			{"iter-time", "how long opening takes on this machine, in milliseconds (2000)"},
		},
		probe: func(head []byte) bool {
			return len(head) >= 8 && bytes.HasPrefix(head, []byte("LUKS\xba\xbe")) && int(binary.BigEndian.Uint16(head[6:])) == version
		},
	}
	f.open = func(ctx context.Context, below block.Layer, o openOptions) (block.Layer, error) {
		if o.secret == nil {
			return nil, needSecret(name)
		}
		d, err := luks.Open(ctx, below, luks.Options{Passphrase: o.secret, Version: version, ReadOnly: o.readOnly})
		if err != nil {
			return nil, err // a nil layer must not become an interface
		}
		return d, nil
	}
	f.create = func(ctx context.Context, below block.Layer, o createOptions) error {
		return createLUKS(ctx, below, o, f, version)
	}
	f.details = func(below block.Layer) (Details, error) {
		h, err := luks.ReadHeader(below)
		if err != nil {
			return Details{}, err
		}
		if h.Version != version {
			return Details{}, fmt.Errorf("the container has version %d of LUKS, not %d", h.Version, version)
		}
		return luksDetails(h, below.Size()), nil
	}
	return f
}

func createLUKS(ctx context.Context, below block.Layer, o createOptions, f *Format, version int) error {
	v := o.values
	c := luks.CreateOptions{Version: version, Passphrase: o.secret, Size: o.size}
	mode := v.word("cipher-mode", "xts", "xts", "cbc")
	bits := map[string]int{"aes-128": 128, "aes-192": 192, "aes-256": 256}[v.word("cipher-alg", "aes-256", "aes-128", "aes-192", "aes-256")]
	ivs := v.word("ivgen-alg", "plain64", "plain", "plain64", "essiv")
	if ivs == "essiv" {
		ivs = "essiv:sha256"
	}
	c.Cipher, c.KeySize = "aes-"+mode+"-"+ivs, bits/8
	if mode == "xts" {
		c.KeySize *= 2 // there are two keys
	}
	c.Hash = v.text("hash-alg", "sha256")
	c.IterTime = time.Duration(v.number("iter-time", 2000)) * time.Millisecond
	if err := v.done(f); err != nil {
		return err
	}
	switch {
	case o.backing != "":
		return errors.New("a LUKS container has no backing file; qed and qcow2 have")
	case len(o.secret) == 0:
		return needSecret(f.Name)
	}
	offset, err := c.DataOffset()
	if err != nil {
		return err
	}
	if err := renew(below, offset+o.size); err != nil {
		return err
	}
	if _, ok := below.(block.Resizer); !ok {
		c.Size = 0
	}
	d, err := luks.Create(ctx, keep(below), c)
	if err != nil {
		return err
	}
	return d.Close()
}

func luksDetails(h *luks.Header, length int64) Details {
	d := Details{Size: h.Size, Encrypted: true}
	if d.Size == 0 {
		d.Size = max(0, length-h.Offset)
	}
	cipher, rest, _ := strings.Cut(h.Cipher, "-")
	mode, ivs, _ := strings.Cut(rest, "-")
	bits := h.KeySize * 8
	if mode == "xts" {
		bits /= 2
	}
	d.Specific = []Field{
		{"ivgen-alg", ivs}, {"cipher-alg", fmt.Sprintf("%s-%d", cipher, bits)}, {"cipher-mode", mode},
		{"uuid", h.UUID}, {"payload-offset", h.Offset}, {"key-slots", len(h.Slots)},
	}
	return d
}
