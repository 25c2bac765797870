package vmm

import (
	"context"
	"errors"
	"fmt"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/luks"
	"github.com/govmm/govmm/domcfg"
)

// luksVersions are the versions of LUKS by the words of <encryption format=>.
var luksVersions = map[string]int{"luks": 1, "luks2": 2, "luks-any": 0}

// decrypt opens what lies encrypted in a layer, which is still the caller's after
// an error.
func (m *Machine) decrypt(ctx context.Context, below block.Layer, e *domcfg.Encryption) (block.Layer, error) {
	version, ok := luksVersions[e.Format]
	if !ok {
		return nil, fmt.Errorf("format %s is not in this version", e.Format)
	}
	secret, err := m.secretOf(ctx, e)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	layer, err := luks.Open(ctx, below, luks.Options{Passphrase: secret, Version: version})
	if errors.Is(err, luks.ErrPassphrase) {
		return nil, fmt.Errorf("secret %s: %w", e.Secrets[0].UUID, err)
	}
	if err != nil {
		return nil, err // a nil layer must not become an interface
	}
	return layer, nil
}

// secretOf finds the passphrase of an encryption, which the caller clears.
func (m *Machine) secretOf(ctx context.Context, e *domcfg.Encryption) ([]byte, error) {
	if len(e.Secrets) != 1 {
		return nil, fmt.Errorf("format %s with %d secrets is not in this version", e.Format, len(e.Secrets))
	}
	find := m.options.Secret
	if find == nil {
		find = HostSecret
	}
	secret, err := find(ctx, e.Secrets[0].UUID)
	if err != nil {
		// What is not there is not the medium, which a drive may go without.
		return nil, errors.New(err.Error())
	}
	return secret, nil
}
