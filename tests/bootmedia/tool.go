package bootmedia

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// tool is a program of a Debian package.
type tool struct{ name, pkg string }

var (
	gcc         = tool{"gcc", "gcc"}
	xorriso     = tool{"xorriso", "xorriso"}
	mke2fs      = tool{"mke2fs", "e2fsprogs"}
	grubMkimage = tool{"grub-mkimage", "grub-common"}
	debootstrap = tool{"debootstrap", "debootstrap"}
	aptGet      = tool{"apt-get", "apt"}
)

// run runs a program in dir and returns what it printed. An error carries the
// end of all it said, or names the package it is missing from.
func (t tool) run(ctx context.Context, dir string, args ...string) (string, error) {
	return t.runAs(ctx, dir, nil, args...)
}

func (t tool) runAs(ctx context.Context, dir string, as *syscall.SysProcAttr, args ...string) (string, error) {
	path, err := t.find()
	if err != nil {
		return "", err
	}
	var stdout, all bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.SysProcAttr = dir, as
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = &stdout, &all
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", t.name, err, end(stdout.String()), end(all.String()))
	}
	return stdout.String(), nil
}

// find also looks where a user's PATH does not lead.
func (t tool) find() (string, error) {
	for _, name := range []string{t.name, "/usr/sbin/" + t.name, "/sbin/" + t.name} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s not found; install the package %s", t.name, t.pkg)
}

// end is the last lines of a text.
func end(text string) string {
	const lines = 20
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}
