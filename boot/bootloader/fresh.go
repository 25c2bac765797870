package bootloader

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// made returns which of the paths are regular files, other than the disk, that
// were made from start on. They are the program's own copies; any other kernel is
// the host's or the guest's, and stays.
func made(start time.Time, disk string, paths ...string) []string {
	var files []string
	diskInfo, err := os.Stat(disk)
	if err != nil {
		return nil // the program took it away: trust nothing
	}
	for _, path := range paths {
		if !filepath.IsAbs(path) {
			continue
		}
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || os.SameFile(info, diskInfo) {
			continue
		}
		if at, err := born(path); err == nil && !at.Before(start) {
			files = append(files, path)
		}
	}
	return files
}

// born is when a file was made or, on a file system that does not know, when it was
// changed last: which, unlike the time of its contents, a program cannot set back.
func born(path string) (time.Time, error) {
	var stat unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME|unix.STATX_CTIME, &stat)
	if err != nil {
		return time.Time{}, &fs.PathError{Op: "statx", Path: path, Err: err}
	}
	at := stat.Ctime
	if stat.Mask&unix.STATX_BTIME != 0 {
		at = stat.Btime
	}
	return time.Unix(at.Sec, int64(at.Nsec)), nil
}
