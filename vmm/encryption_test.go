package vmm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/luks"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

const diskSecret = "correct horse"

// luksImage makes a container of 1 MiB that reads as zeroes.
func luksImage(t *testing.T, version int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encrypted")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := block.OpenFile(t.Context(), block.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	l, err := luks.Create(t.Context(), f, luks.CreateOptions{
		Version: version, Passphrase: []byte(diskSecret), Size: 1 << 20,
		KDF: luks.KDF{Type: luks.PBKDF2, Hash: "sha256", Iterations: 1000},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.WriteZeroes(0, 1<<20, false), l.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// plaintext is what a container holds.
func plaintext(t *testing.T, path string) []byte {
	t.Helper()
	f, err := block.OpenFile(t.Context(), block.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := luks.Open(t.Context(), f, luks.Options{Passphrase: []byte(diskSecret)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := make([]byte, l.Size())
	if err := l.ReadVec([][]byte{p}, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func encryption(format string) string {
	return `<encryption format='` + format + `'><secret type='passphrase' uuid='` + secretUUID + `'/></encryption>`
}

// What a guest sees of an encrypted disk, and leaves on it, is as on a plain one.
func TestEncryptedDisk(t *testing.T) {
	t.Setenv(secretVariable, diskSecret)
	local := diskImage(t)
	want := guestOutput(t, `<disk><source file='`+local+`'/><target dev='vda'/></disk>`)
	wrote, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		version int
		disk    func(path string) string
	}{
		"luks":     {1, func(path string) string { return `<source file='` + path + `'/>` + encryption("luks") }},
		"luks2":    {2, func(path string) string { return `<source file='` + path + `'>` + encryption("luks2") + `</source>` }},
		"luks-any": {2, func(path string) string { return `<source file='` + path + `'/>` + encryption("luks-any") }},
		"direct": {2, func(path string) string {
			return `<driver cache='none'/><source file='` + path + `'/>` + encryption("luks2")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := luksImage(t, c.version)
			if got := guestOutput(t, `<disk>`+c.disk(path)+`<target dev='vda'/></disk>`); got != want {
				t.Errorf("the guest says of an encrypted disk:\n%s\nand of a plain one:\n%s", got, want)
			}
			if !bytes.Equal(plaintext(t, path), wrote) {
				t.Error("the guest leaves other data in a container than on a plain disk")
			}
		})
	}
}

func TestEncryptedDiskErrors(t *testing.T) {
	luks1 := luksImage(t, 1)
	plain := diskImage(t)
	right := func(context.Context, domcfg.UUID) ([]byte, error) { return []byte(diskSecret), nil }
	for _, c := range []struct {
		name, path, format string
		device             string
		secret             func(context.Context, domcfg.UUID) ([]byte, error)
		want               string
	}{
		{name: "wrong", path: luks1, format: "luks", want: "secret " + secretUUID + ": the passphrase opens no key slot",
			secret: func(context.Context, domcfg.UUID) ([]byte, error) { return []byte("wrong"), nil }},
		{name: "none", path: luks1, format: "luks", want: "no secrets here",
			secret: func(_ context.Context, uuid domcfg.UUID) ([]byte, error) {
				if uuid.String() != secretUUID {
					t.Errorf("asked for the secret %s", uuid)
				}
				return nil, errors.New("no secrets here")
			}},
		{name: "other version", path: luks1, format: "luks2", want: "version 1 of LUKS, where 2", secret: right},
		{name: "not encrypted", path: plain, format: "luks", want: "is not a LUKS container", secret: right},
		// A secret that is not there leaves no drive empty, as a medium does.
		{name: "optional", path: luks1, format: "luks", want: "file does not exist", device: "cdrom",
			secret: func(context.Context, domcfg.UUID) ([]byte, error) { return nil, os.ErrNotExist }},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := resources(t)
			disk := `<disk><source file='` + c.path + `'/><target dev='vda'/>`
			if c.device != "" {
				disk = `<disk device='cdrom'><source file='` + c.path + `' startupPolicy='optional'/><target dev='hda'/>`
			}
			d, err := tiny.Options{Devices: disk + encryption(c.format) + `</disk>`}.Domain(kernel(t))
			if err != nil {
				t.Fatal(err)
			}
			_, err = vmm.New(deadline(t), d, vmm.Options{Secret: c.secret})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			before.check(t)
		})
	}
}
