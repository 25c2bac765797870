package vmm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
)

const (
	// secretVariable, with the UUID without dashes behind it, is the environment
	// variable of a secret.
	secretVariable = "GOVMM_SECRET_"
	// secretsDirectory is where those of the host are, for all users who may read
	// them.
	secretsDirectory = "/etc/govmm/secrets"
	// maxSecret is the greatest length of a secret in bytes, libvirt's as well.
	maxSecret = 64 << 10
)

// HostSecret finds a secret on this host: in the environment variable
// GOVMM_SECRET_ with the UUID's digits behind it, or a file with the UUID's name
// in $XDG_CONFIG_HOME/govmm/secrets (~/.config if that is not set) or
// /etc/govmm/secrets. A file must belong to the user or to root, and nobody else
// may do anything with it; one newline at its end is left away. The error says
// where it looked.
func HostSecret(_ context.Context, uuid domcfg.UUID) ([]byte, error) {
	name := uuid.String()
	variable := secretVariable + strings.ReplaceAll(name, "-", "")
	if value, ok := os.LookupEnv(variable); ok {
		if value == "" {
			return nil, fmt.Errorf("secret %s: $%s is empty", name, variable)
		}
		return []byte(value), nil
	}
	looked := []string{"$" + variable}
	var directories []string
	if config, err := os.UserConfigDir(); err == nil {
		directories = append(directories, filepath.Join(config, "govmm", "secrets"))
	}
	for _, directory := range append(directories, secretsDirectory) {
		path := filepath.Join(directory, name)
		secret, err := FileSecret(path)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			looked = append(looked, path)
			continue
		}
		return secret, err
	}
	return nil, fmt.Errorf("secret %s is neither in %s", name, strings.Join(looked, " nor in "))
}

// FileSecret reads a secret from a file, which is as those that [HostSecret] finds.
func FileSecret(path string) ([]byte, error) {
	secret, err := readSecret(path)
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", path, err)
	}
	return secret, nil
}

// readSecret reads the file of a secret.
func readSecret(path string) ([]byte, error) {
	// Without O_NONBLOCK the opening of a FIFO would wait.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is the caller's to say
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errors.New("is not a regular file")
	case st.Mode&0o077 != 0:
		return nil, fmt.Errorf("others than its owner have access to it (mode %04o); chmod 0600", st.Mode&0o7777)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return nil, fmt.Errorf("belongs to user %d, neither to root nor to you", st.Uid)
	}
	secret, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	secret = bytes.TrimSuffix(secret, []byte("\n"))
	if len(secret) == 0 || len(secret) > maxSecret {
		return nil, fmt.Errorf("is %d bytes long, not 1 to %d", len(secret), maxSecret)
	}
	return secret, nil
}
