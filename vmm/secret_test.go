package vmm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

const (
	secretUUID     = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
	secretVariable = "GOVMM_SECRET_0a81f5b284037b23c8d621ccc2f80d6f"
)

func TestHostSecret(t *testing.T) {
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	path := filepath.Join(config, "govmm", "secrets", secretUUID)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	uuid, err := domcfg.ParseUUID(secretUUID)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content string, mode os.FileMode) func(t *testing.T) {
		return func(t *testing.T) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name  string
		make  func(t *testing.T)
		want  string
		wrong string // part of the error
	}{
		{"none", func(*testing.T) {}, "", secretVariable + " nor in " + path + " nor in /etc/govmm/secrets/" + secretUUID},
		{"file", write("a secret", 0o600), "a secret", ""},
		{"newline", write("a secret\n\n", 0o400), "a secret\n", ""},
		{"empty", write("", 0o600), "", "0 bytes"},
		{"newline alone", write("\n", 0o600), "", "0 bytes"},
		{"long", write(strings.Repeat("x", 64<<10+1), 0o600), "", "bytes long"},
		{"others may read", write("a secret", 0o604), "", "mode 0604"},
		{"group may write", write("a secret", 0o620), "", "mode 0620"},
		{"FIFO", func(t *testing.T) {
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "", "not a regular file"},
		{"directory", func(t *testing.T) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "", "not a regular file"},
		{"link", func(t *testing.T) {
			write("linked", 0o600)(t)
			if err := os.Rename(path, path+"-2"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(path+"-2", path); err != nil {
				t.Fatal(err)
			}
		}, "linked", ""},
		{"environment before file", func(t *testing.T) {
			write("in the file", 0o600)(t)
			t.Setenv(secretVariable, "in the environment")
		}, "in the environment", ""},
		{"empty variable", func(t *testing.T) { t.Setenv(secretVariable, "") }, "", "is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.make(t)
			defer os.Remove(path)
			got, err := vmm.HostSecret(t.Context(), uuid)
			if string(got) != c.want || (err == nil) != (c.wrong == "") {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%v, want %q", err, c.wrong)
			}
		})
	}
}

// Whose file it is counts as well.
func TestSecretOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	path := filepath.Join(config, "govmm", "secrets", secretUUID)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 12345, 0); err != nil {
		t.Fatal(err)
	}
	uuid, err := domcfg.ParseUUID(secretUUID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vmm.HostSecret(t.Context(), uuid); err == nil || !strings.Contains(err.Error(), "user 12345") {
		t.Errorf("%v", err)
	}
}
