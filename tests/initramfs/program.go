package initramfs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// GoProgram compiles the main package with import path pkg (or a path such as
// ./tests/initramfs/testinit, relative to the module) to a static program and
// returns it. The result is kept in the user's cache directory, where the go
// command sees whether it is still up to date; several processes may ask at
// once.
func GoProgram(ctx context.Context, pkg string) ([]byte, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	dir := filepath.Join(cache, "govmm", "programs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	output := filepath.Join(dir, strings.ReplaceAll(path.Clean(pkg), "/", "-"))
	lock, err := os.OpenFile(output+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("initramfs: %w", err)
	}
	defer lock.Close() // unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("initramfs: lock %s: %w", lock.Name(), err)
	}

	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", output, pkg)
	cmd.Dir = moduleRoot()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initramfs: go build %s: %w\n%s", pkg, err, out)
	}
	return os.ReadFile(output)
}

// moduleRoot is the directory of this module's source, if this program was
// built where it runs and without -trimpath; otherwise the go command starts
// where the caller is.
func moduleRoot() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return ""
	}
	root := filepath.Join(filepath.Dir(file), "..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return ""
	}
	return root
}
