package luks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/crypt"
)

// cluster finds the first data cluster of a qcow2 image, and its header extension
// for encryption.
func cluster(t *testing.T, p []byte) (data, header, length int64) {
	t.Helper()
	be := binary.BigEndian
	if be.Uint32(p) != 0x514649fb {
		t.Fatal("no qcow2 image")
	}
	const offsetMask = 1<<56 - 1<<9
	l2 := be.Uint64(p[be.Uint64(p[40:]):]) & offsetMask
	data = int64(be.Uint64(p[l2:]) & offsetMask)
	for at := be.Uint32(p[100:]); ; {
		kind, n := be.Uint32(p[at:]), be.Uint32(p[at+4:])
		switch kind {
		case 0:
			return data, 0, 0
		case 0x0537be77:
			return data, int64(be.Uint64(p[at+8:])), int64(be.Uint64(p[at+16:]))
		}
		at += 8 + (n+7)&^7
	}
}

// TestQcow2 decrypts a cluster of images that qemu-img made, by both ways that
// they can be encrypted.
func TestQcow2(t *testing.T) {
	secret := "secret,id=s,file=" + keyFile(t, pass)
	const size = 64 << 10
	want := noise(4, size)
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, options := range map[string]string{
		"aes":  "encrypt.format=aes,encrypt.key-secret=s",
		"luks": "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image")
			qemuImg(t, "convert", "--object", secret, "-f", "raw", "-O", "qcow2", "-o", options, plain, path)
			image, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data, header, length := cluster(t, image)
			got := bytes.Clone(image[data:][:size])
			if bytes.Equal(got, want) {
				t.Fatal("the image is not encrypted")
			}
			if name == "aes" {
				c, err := crypt.Legacy(pass)
				if err != nil {
					t.Fatal(err)
				}
				c.Decrypt(got, got, 0)
			} else {
				s := memory(image)
				if _, err := UnlockWithin(t.Context(), s, header, length, Options{Passphrase: []byte("wrong")}); !errors.Is(err, ErrPassphrase) {
					t.Errorf("a wrong passphrase: %v", err)
				}
				if _, err := UnlockWithin(t.Context(), s, header, s.Size(), Options{Passphrase: pass}); !errors.Is(err, block.ErrOutOfRange) {
					t.Errorf("a header beyond the end: %v", err)
				}
				if _, err := UnlockWithin(t.Context(), s, header, 8192, Options{Passphrase: pass}); !errors.Is(err, ErrCorrupt) {
					t.Errorf("a header that is cut: %v", err)
				}
				c, err := UnlockWithin(t.Context(), s, header, length, Options{Passphrase: pass, Version: 1})
				if err != nil {
					t.Fatal(err)
				}
				c.Decrypt(got, got, uint64(data)/crypt.SectorSize)
			}
			if !bytes.Equal(got, want) {
				t.Error("decrypted to other bytes than QEMU encrypted")
			}
		})
	}
}
