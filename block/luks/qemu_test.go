package luks

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/block/crypt"
)

// qemuImg runs qemu-img, again while it fails for a reason of its own: it cannot
// measure how long key derivation takes if that is too short.
func qemuImg(t testing.TB, args ...string) string {
	t.Helper()
	for range 20 {
		out, code := command(t, "qemu-utils", "qemu-img", args...)
		if code == 0 {
			return out
		}
		if !strings.Contains(out, "accurate CPU usage") {
			t.Fatalf("qemu-img %s: exit code %d\n%s", strings.Join(args, " "), code, out)
		}
	}
	t.Fatal("qemu-img cannot measure time")
	return ""
}

// TestContent1 compares the content of LUKS1 containers with what QEMU reads and
// writes in them.
func TestContent1(t *testing.T) {
	keys := keyFile(t, pass)
	secret := "secret,id=s,file=" + keys
	t.Run("ours", func(t *testing.T) {
		for name, o := range map[string]CreateOptions{
			"xts":   {KeySize: 64},
			"128":   {KeySize: 32},
			"essiv": {Cipher: "aes-cbc-essiv:sha256", Hash: "sha1"},
			"plain": {Cipher: "aes-cbc-plain64", KeySize: 16},
		} {
			o.Version, o.Passphrase, o.KDF = 1, pass, KDF{Type: PBKDF2, Hash: o.Hash, Iterations: 1000}
			path := create(t, o, 3)
			plain := filepath.Join(t.TempDir(), "plain")
			qemuImg(t, "convert", "--object", secret, "--image-opts", "driver=luks,key-secret=s,file.filename="+path, "-O", "raw", plain)
			got, err := os.ReadFile(plain)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(noise(3, 1<<20)) {
				t.Errorf("%s: QEMU reads other bytes than were written", name)
			}
		}
	})
	t.Run("theirs", func(t *testing.T) {
		for i, options := range []string{
			"cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha1",
		} {
			plain, path := filepath.Join(t.TempDir(), "plain"), filepath.Join(t.TempDir(), "luks")
			if err := os.WriteFile(plain, noise(uint64(i), 1<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			qemuImg(t, "create", "-f", "luks", "--object", secret, "-o", "key-secret=s,iter-time=10,"+options, path, "1M")
			qemuImg(t, "convert", "--object", secret, "-n", "-f", "raw", plain, "--target-image-opts", "driver=luks,key-secret=s,file.filename="+path)
			if string(content(t, path, pass, 1<<20)) != string(noise(uint64(i), 1<<20)) {
				t.Errorf("%s: other bytes than QEMU wrote", options)
			}
			// And back, after a change.
			err := with(t, path, Options{Passphrase: pass}, func(l *crypt.Layer) {
				if err := l.WriteVec([][]byte{make([]byte, 70_000)}, 12_345); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			out, code := command(t, "qemu-utils", "qemu-io", "--object", secret, "--image-opts", "driver=luks,key-secret=s,file.filename="+path,
				"-c", fmt.Sprintf("read -P 0 %d %d", 12_345, 70_000))
			if code != 0 || strings.Contains(out, "failed") {
				t.Errorf("%s: exit code %d\n%s", options, code, out)
			}
		}
	})
}
