// Package initramfs makes the initial file systems of test guests: newc cpio
// archives (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)
// holding Go programs, kernel modules in load order and device nodes.
//
// An archive made twice from the same files is the same bytes: entries are
// sorted, and have no times, no owners and numbered inodes. The programs that
// run in these images are in testinit and shellinit; package early is what
// they share.
package initramfs

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// File is one entry of an archive, made by [Regular], [HostFile], [Directory],
// [Symlink] or [CharDevice].
type File struct {
	record cpio.Record
	host   string // copied when the archive is built
}

// Regular is a file with the given permission bits and contents.
func Regular(name string, perm uint32, data []byte) File {
	return File{record: cpio.StaticRecord(data, cpio.Info{
		Name: clean(name), Mode: unix.S_IFREG | uint64(perm), FileSize: uint64(len(data)), NLink: 1,
	})}
}

// HostFile is a copy of a file of this machine, read when the archive is
// built, with its permission bits.
func HostFile(name, file string) File {
	f := Regular(name, 0, nil)
	f.host = file
	return f
}

// Directory is an empty directory. Build makes the directories above every
// entry by itself, with mode 0755.
func Directory(name string, perm uint32) File {
	return File{record: cpio.StaticRecord(nil, cpio.Info{
		Name: clean(name), Mode: unix.S_IFDIR | uint64(perm), NLink: 2,
	})}
}

// Symlink is a symbolic link.
func Symlink(name, target string) File {
	return File{record: cpio.StaticRecord([]byte(target), cpio.Info{
		Name: clean(name), Mode: unix.S_IFLNK | 0o777, FileSize: uint64(len(target)), NLink: 1,
	})}
}

// CharDevice is a character device node.
func CharDevice(name string, perm, major, minor uint32) File {
	return File{record: cpio.StaticRecord(nil, cpio.Info{
		Name: clean(name), Mode: unix.S_IFCHR | uint64(perm), Rmajor: uint64(major), Rminor: uint64(minor), NLink: 1,
	})}
}

// Devices are the nodes a first program needs before it can mount devtmpfs:
// the kernel opens /dev/console as its standard streams.
func Devices() []File {
	return []File{
		CharDevice("/dev/console", 0o600, 5, 1),
		CharDevice("/dev/null", 0o666, 1, 3),
	}
}

// clean makes a name relative to the archive's root, as the kernel wants it.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// Build writes the archive of files to w, uncompressed. Of two entries with
// one name the later counts.
func Build(w io.Writer, files ...File) error {
	entries := map[string]File{}
	for _, f := range files {
		name := f.record.Name
		if name == "" {
			return fmt.Errorf("initramfs: an entry has no name")
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := entries[dir]; !ok {
				entries[dir] = Directory(dir, 0o755)
			}
		}
		entries[name] = f
	}
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names) // a directory sorts before what is in it

	out := cpio.Newc.Writer(w)
	for i, name := range names {
		record, err := entries[name].load()
		if err != nil {
			return err
		}
		record.Ino = uint64(i + 1)
		if err := out.WriteRecord(record); err != nil {
			return fmt.Errorf("initramfs: %s: %w", name, err)
		}
	}
	if err := cpio.WriteTrailer(out); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return nil
}

// load returns the entry's record, with the contents of a host file.
func (f File) load() (cpio.Record, error) {
	if f.host == "" {
		return f.record, nil
	}
	data, err := os.ReadFile(f.host)
	if err != nil {
		return cpio.Record{}, fmt.Errorf("initramfs: %s: %w", f.record.Name, err)
	}
	info, err := os.Stat(f.host)
	if err != nil {
		return cpio.Record{}, fmt.Errorf("initramfs: %s: %w", f.record.Name, err)
	}
	return Regular(f.record.Name, uint32(info.Mode().Perm()), data).record, nil
}

// BuildGzip is [Build] with gzip compression, for guests that should carry a
// small image at the cost of unpacking it.
func BuildGzip(w io.Writer, files ...File) error {
	zw, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := Build(zw, files...); err != nil {
		return err
	}
	return zw.Close()
}

// WriteFile builds an uncompressed archive and puts it in place in one step,
// so that nobody sees half an image.
func WriteFile(name string, files ...File) error {
	var b bytes.Buffer
	if err := Build(&b, files...); err != nil {
		return err
	}
	return replaceFile(name, b.Bytes())
}

// replaceFile writes a file beside name and renames it.
func replaceFile(name string, data []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		tmp.Close()
		return err
	}
	if err = tmp.Chmod(0o644); err != nil {
		tmp.Close()
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
