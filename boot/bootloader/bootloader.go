// Package bootloader runs a host bootloader: a program on the host that looks into
// a guest's disk, perhaps shows a menu, and names the kernel, the initial ramdisk
// and the command line to boot. It is what the elements bootloader and
// bootloader_args ask for.
//
// There is no specification. The conventions are those of Xen's pygrub, for which
// such programs are written, as xend and later xl ran it:
//
//	xend  PROGRAM [--kernel=K] [--ramdisk=R] [--args=C]
//	      --output=FIFO ARGUMENTS DISK
//	xl    PROGRAM [--kernel=K] [--ramdisk=R] [--args=C]
//	      --output=FIFO --output-format=simple0 --output-directory=DIR ARGUMENTS DISK
//
// K, R and C are there if the domain has a kernel, an initrd or a command line,
// for the program to look for or to extend. The program has a terminal for its
// menu, writes its answer to FIFO, and exits with status 0. See answer.go for
// what an answer looks like.
//
// Left out: xl's change of user (--runas).
package bootloader

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Convention is how a program is called.
type Convention uint8

// The conventions.
const (
	// XL names the answer's format and a directory for the files that the program
	// takes from the disk. Xen 4.1's pygrub and later ones know it.
	XL Convention = iota
	// Xend names neither. Every program for Xen knows it, but pygrub then writes to
	// a directory that must be there, in /var/run.
	Xend
)

func (c Convention) String() string {
	switch c {
	case XL:
		return "xl"
	case Xend:
		return "xend"
	}
	return fmt.Sprintf("Convention(%d)", uint8(c))
}

// DefaultTimeout is long enough for someone to find the menu and choose.
const DefaultTimeout = 5 * time.Minute

// Options say what to run.
type Options struct {
	// Path is the program: an absolute path.
	Path string
	// Args are further arguments in one string, which is split as a shell does,
	// with quotes and backslashes, but without any expansion.
	Args string
	// Disk is the image or block device to boot from: an absolute path.
	Disk string

	// Kernel, Ramdisk and Cmdline are those of the domain, empty if it has none.
	// The program looks for the files in the guest's disk.
	Kernel, Ramdisk, Cmdline string

	Convention Convention
	// Timeout is how long the program may take; 0 means DefaultTimeout, and a
	// negative one that there is no limit.
	Timeout time.Duration
	// TempDir is where a directory for the program's files is made; empty means
	// os.TempDir. A kernel and a ramdisk must fit there.
	TempDir string
	// Terminal is the other side of the program's terminal; nil means that nobody
	// looks and types.
	Terminal Terminal
	// Log receives what was run and answered; nil means no log.
	Log *slog.Logger
}

// Terminal is where the program's menu is shown and keys come from, for instance
// a pty's or a socket's end. Read's deadline is set to end a Read when the program
// has ended, and cleared then. Write must not block for ever.
type Terminal interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
}

// Result is what to boot.
type Result struct {
	Kernel  string // absolute path of a regular file
	Ramdisk string // absolute path of a regular file; empty for none
	Args    string // the kernel's command line

	dir     string   // ours, with all that is in it
	fresh   []string // files elsewhere that the program made
	removed bool
}

// Cleanup removes the files that the program made for this boot. Call it when
// Kernel and Ramdisk are open or no longer needed; later calls do nothing. Files
// that were there before the program ran are left alone.
func (r *Result) Cleanup() error {
	if r.removed {
		return nil
	}
	var errs []error
	for _, name := range r.fresh {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, os.RemoveAll(r.dir))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("bootloader: %w", err)
	}
	r.removed = true
	return nil
}

// Run runs the program to its end and returns its answer. When ctx is done, or the
// time is up, the program's process group is told to terminate and, a little
// later, killed. No file is left behind on an error.
//
// It is an error if a path is not absolute or leads nowhere, if the program fails
// (what it wrote to standard error is in the message), and if its answer is longer
// than 64 KiB, has not the form of one, or names no kernel.
func Run(ctx context.Context, opts Options) (*Result, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	result, err := run(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("bootloader %s: %w", opts.Path, err)
	}
	return result, nil
}

func run(ctx context.Context, opts Options) (_ *Result, err error) {
	extra, err := opts.check()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(opts.TempDir, "govmm-bootloader-")
	if err != nil {
		return nil, err
	}
	result := &Result{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, result.Cleanup())
		}
	}()
	start, err := born(dir)
	if err != nil {
		return nil, err
	}
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		return nil, err
	}
	fifo := filepath.Join(dir, "answer")
	args := opts.arguments(fifo, files, extra)
	opts.Log.Info("running the bootloader", "path", opts.Path, "args", args)
	text, runErr := execute(ctx, opts, args, fifo)
	if runErr != nil && len(text) == 0 {
		return nil, runErr
	}
	a, err := parseAnswer(text)
	// A program that fails after its answer leaves files all the same.
	result.fresh = made(start, opts.Disk, a.kernel, a.ramdisk)
	switch {
	case runErr != nil:
		return nil, runErr
	case err != nil:
		return nil, fmt.Errorf("its answer %q %w", clip(text), err)
	}
	for _, item := range a.unknown {
		opts.Log.Warn("the bootloader's answer has an unknown item", "item", clip([]byte(item)))
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("its answer %w", err)
	}
	opts.Log.Info("the bootloader has chosen", "kernel", a.kernel, "ramdisk", a.ramdisk, "args", a.args)
	result.Kernel, result.Ramdisk, result.Args = a.kernel, a.ramdisk, a.args
	return result, nil
}

// check refuses what cannot work, and returns the words of Args.
func (o *Options) check() (extra []string, err error) {
	if o.Convention > Xend {
		return nil, fmt.Errorf("%v is not a convention", o.Convention)
	}
	info, err := lookAt("the program", o.Path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return nil, errors.New("the program is not an executable file")
	}
	if info, err = lookAt("the disk", o.Disk); err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("the disk %s is a directory", o.Disk)
	}
	if err := unix.Access(o.Disk, unix.R_OK); err != nil {
		return nil, fmt.Errorf("the disk %s cannot be read: %w", o.Disk, err)
	}
	if extra, err = splitWords(o.Args); err != nil {
		return nil, fmt.Errorf("its arguments %q: %w", o.Args, err)
	}
	return extra, nil
}

// lookAt finds a file by an absolute path.
func lookAt(what, path string) (fs.FileInfo, error) {
	switch {
	case path == "":
		return nil, fmt.Errorf("%s is missing", what)
	case !filepath.IsAbs(path):
		return nil, fmt.Errorf("%s %q is not an absolute path", what, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return info, nil
}

// arguments are those of the package's comment.
func (o *Options) arguments(fifo, dir string, extra []string) []string {
	var args []string
	for _, a := range []struct{ option, value string }{
		{"--kernel=", o.Kernel}, {"--ramdisk=", o.Ramdisk}, {"--args=", o.Cmdline},
	} {
		if a.value != "" {
			args = append(args, a.option+a.value)
		}
	}
	args = append(args, "--output="+fifo)
	if o.Convention == XL {
		args = append(args, "--output-format=simple0", "--output-directory="+dir)
	}
	args = append(args, extra...)
	return append(args, o.Disk)
}
