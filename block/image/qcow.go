package image

import (
	"bytes"
	"context"
	"fmt"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/qcow"
)

// qcowFormat is the first version of qcow, which can be read.
func qcowFormat() *Format {
	return &Format{
		Name:  "qcow",
		probe: func(head []byte) bool { return bytes.HasPrefix(head, []byte("QFI\xfb\x00\x00\x00\x01")) },
		open: func(ctx context.Context, below block.Layer, o openOptions) (block.Layer, error) {
			if !o.readOnly {
				return nil, fmt.Errorf("images of format qcow are not written; `govmm img convert -f qcow` makes others of them: %w", block.ErrReadOnly)
			}
			q := qcow.Options{Backing: func(ctx context.Context, name string) (block.Layer, error) { return o.backing(ctx, name, "") }}
			// One behind another image may be encrypted or not.
			i, err := qcow.ReadInfo(below)
			if err != nil {
				return nil, err
			}
			if i.Encrypted {
				if o.secret == nil {
					return nil, needSecret("qcow")
				}
				q.Passphrase = o.secret
			}
			d, err := qcow.Open(ctx, below, q)
			if err != nil {
				return nil, err // a nil image must not become an interface
			}
			return d, nil
		},
		details: func(below block.Layer) (Details, error) {
			i, err := qcow.ReadInfo(below)
			if err != nil {
				return Details{}, err
			}
			return Details{Size: i.Size, ClusterSize: i.ClusterSize, Encrypted: i.Encrypted, Backing: i.Backing}, nil
		},
	}
}
