package luks

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/block/crypt"
)

// command runs a program of a Debian package, with the passphrase in the file
// pass beside dir's other files, and returns its output and exit code.
func command(t testing.TB, pkg, program string, args ...string) (string, int) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v (package %s)", err, pkg)
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// cryptsetup must succeed.
func cryptsetup(t testing.TB, args ...string) string {
	t.Helper()
	out, code := command(t, "cryptsetup-bin", "cryptsetup", append([]string{"--batch-mode"}, args...)...)
	if code != 0 {
		t.Fatalf("cryptsetup %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// keyFile is a file with a passphrase.
func keyFile(t testing.TB, passphrase []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(path, passphrase, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// theirKey is the volume key that cryptsetup finds in a container.
func theirKey(t testing.TB, path, keys string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "volume-key")
	cryptsetup(t, "luksDump", "--dump-volume-key", "--volume-key-file", out, "--key-file", keys, path)
	key, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// ourKey is the one that this package finds.
func ourKey(t testing.TB, path string, passphrase []byte) (*Header, []byte) {
	t.Helper()
	f := openFile(t, path)
	defer f.Close()
	h, err := ReadHeader(f)
	if err != nil {
		t.Fatal(err)
	}
	key, err := h.volumeKey(t.Context(), f, passphrase, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return h, key
}

func sameKey(t testing.TB, path, keys string, passphrase []byte) *Header {
	t.Helper()
	h, key := ourKey(t, path, passphrase)
	if want := theirKey(t, path, keys); !bytes.Equal(key, want) {
		t.Errorf("the volume key is %s, cryptsetup finds %s", hex.EncodeToString(key), hex.EncodeToString(want))
	}
	return h
}

// TestCryptsetupOpens has cryptsetup open what Create makes.
func TestCryptsetupOpens(t *testing.T) {
	pbkdf := func(hash string) KDF { return KDF{Type: PBKDF2, Hash: hash, Iterations: 1000} }
	argon := func(name string) KDF { return KDF{Type: name, Time: 4, Memory: 64, Threads: 2} }
	keys, wrong := keyFile(t, pass), keyFile(t, []byte("wrong"))
	for name, o := range map[string]CreateOptions{
		"1":             {Version: 1, KDF: pbkdf("sha256")},
		"1 essiv":       {Version: 1, Cipher: "aes-cbc-essiv:sha256", Hash: "sha1", KDF: pbkdf("sha1")},
		"1 ripemd":      {Version: 1, Hash: "ripemd160", KDF: pbkdf("ripemd160"), KeySize: 32},
		"1 cbc 192":     {Version: 1, Cipher: "aes-cbc-plain64", KeySize: 24, Hash: "sha512", KDF: pbkdf("sha512")},
		"2 argon2id":    {KDF: argon(Argon2id), Label: "a label"},
		"2 argon2i":     {KDF: argon(Argon2i), SectorSize: 4096, Hash: "sha512"},
		"2 pbkdf2":      {KDF: pbkdf("sha512"), KeySize: 32, SectorSize: 1024},
		"2 essiv":       {KDF: argon(Argon2id), Cipher: "aes-cbc-essiv:sha256"},
		"2 UUID, plain": {KDF: pbkdf("sha1"), UUID: "11111111-2222-3333-4444-555555555555", Cipher: "aes-cbc-plain64"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Passphrase = pass
			path := create(t, o, 1)
			cryptsetup(t, "luksOpen", "--test-passphrase", "--key-file", keys, path)
			if out, code := command(t, "cryptsetup-bin", "cryptsetup", "--batch-mode", "luksOpen", "--test-passphrase", "--key-file", wrong, path); code != 2 {
				t.Errorf("cryptsetup with a wrong passphrase: exit code %d\n%s", code, out)
			}
			h := sameKey(t, path, keys, pass)
			dump := cryptsetup(t, "luksDump", path)
			for _, want := range []string{h.UUID, h.Label} {
				if !strings.Contains(dump, want) {
					t.Errorf("cryptsetup luksDump does not show %q:\n%s", want, dump)
				}
			}
			if out := cryptsetup(t, "repair", path); strings.TrimSpace(out) != "" && !strings.Contains(out, "No known problems") {
				t.Errorf("cryptsetup repair finds: %s", out)
			}
			// cryptsetup goes on with it: another passphrase, and the first one out.
			other := []byte("battery staple")
			cryptsetup(t, "luksAddKey", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", keys, path, keyFile(t, other))
			cryptsetup(t, "luksKillSlot", "--key-file", keyFile(t, other), path, "0")
			if h := sameKey(t, path, keyFile(t, other), other); len(h.Slots) != 1 || h.Slots[0].Number != 1 {
				t.Errorf("key slots %+v", h.Slots)
			}
			if err := with(t, path, Options{Passphrase: pass}, func(*crypt.Layer) {}); !errors.Is(err, ErrPassphrase) {
				t.Errorf("the passphrase that was taken out: %v", err)
			}
		})
	}
}

// TestOpensCryptsetup opens what cryptsetup makes, with what it would be given by
// its users.
func TestOpensCryptsetup(t *testing.T) {
	keys := keyFile(t, pass)
	slow := []string{"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"}
	argon := []string{"--pbkdf-memory", "32", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1"}
	for name, args := range map[string][]string{
		"1":            append(slow, "--type", "luks1"),
		"1 essiv":      append(slow, "--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--hash", "sha1"),
		"1 cbc":        append(slow, "--type", "luks1", "--cipher", "aes-cbc-plain64", "--key-size", "128", "--hash", "ripemd160"),
		"1 align":      append(slow, "--type", "luks1", "--align-payload", "8", "--key-size", "256"),
		"2":            append(argon, "--type", "luks2"),
		"2 argon2i":    append(argon, "--type", "luks2", "--pbkdf", "argon2i", "--sector-size", "4096"),
		"2 pbkdf2":     append(slow, "--type", "luks2", "--hash", "sha512", "--key-size", "256"),
		"2 metadata":   append(argon, "--type", "luks2", "--luks2-metadata-size", "64k", "--luks2-keyslots-size", "512k"),
		"2 slot 5":     append(argon, "--type", "luks2", "--key-slot", "5", "--label", "here"),
		"2 other area": append(argon, "--type", "luks2", "--keyslot-cipher", "aes-cbc-essiv:sha256", "--keyslot-key-size", "256"),
	} {
		t.Run(name, func(t *testing.T) {
			path := newFile(t, 20<<20)
			cryptsetup(t, append([]string{"luksFormat", "--key-file", keys, path}, args...)...)
			sameKey(t, path, keys, pass)
			if err := with(t, path, Options{Passphrase: []byte("wrong")}, func(*crypt.Layer) {}); !errors.Is(err, ErrPassphrase) {
				t.Errorf("a wrong passphrase: %v", err)
			}
		})
	}
}

// TestContent2 compares the content of LUKS2 containers, by having cryptsetup
// encrypt a plain disk, and encrypt ours anew under another key.
func TestContent2(t *testing.T) {
	keys := keyFile(t, pass)
	for _, sectorSize := range []string{"512", "4096"} {
		t.Run(sectorSize, func(t *testing.T) {
			const kept = 4 << 20 // the rest makes room for the header
			path := newFile(t, 0)
			if err := os.WriteFile(path, noise(7, kept+32<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			cryptsetup(t, "reencrypt", "--encrypt", "--type", "luks2", "--reduce-device-size", "32M", "--sector-size", sectorSize,
				"--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", keys, path)
			if !bytes.Equal(content(t, path, pass, kept), noise(7, kept)) {
				t.Fatal("what cryptsetup encrypted is read otherwise")
			}
			err := with(t, path, Options{Passphrase: pass}, func(l *crypt.Layer) {
				// At odd places, so that sectors are read and written back.
				if err := l.WriteVec([][]byte{noise(8, 100_001)}, 77_777); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			_, before := ourKey(t, path, pass)
			cryptsetup(t, "reencrypt", "--force-offline-reencrypt", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", keys, path)
			if _, after := ourKey(t, path, pass); bytes.Equal(before, after) {
				t.Fatal("the volume key is the same")
			}
			want := noise(7, kept)
			copy(want[77_777:], noise(8, 100_001))
			if !bytes.Equal(content(t, path, pass, kept), want) {
				t.Error("what was written is not what cryptsetup decrypted")
			}
		})
	}
}
