package block

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// measure finds the disk's size in bytes.
func (d *Raw) measure() (int64, error) {
	size, err := fileLength(d.fd, d.device)
	if err != nil {
		return 0, err
	}
	if size > math.MaxInt64-SectorSize {
		return 0, unix.EFBIG
	}
	return (size + SectorSize - 1) / SectorSize * SectorSize, nil
}

// fileLength is the exact length of a file or device in bytes.
func fileLength(fd int, device bool) (int64, error) {
	if device {
		var size uint64
		if err := ioctlPointer(fd, unix.BLKGETSIZE64, unsafe.Pointer(&size)); err != nil {
			return 0, err
		}
		if size > math.MaxInt64 {
			return 0, unix.EFBIG
		}
		return int64(size), nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	return st.Size, nil
}

func ioctlPointer(fd int, request uintptr, p unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(p))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// findTopology asks the host. What it does not tell has its usual value.
func (d *Raw) findTopology() Topology {
	t := Topology{LogicalBlockSize: SectorSize, PhysicalBlockSize: SectorSize}
	if d.device {
		d.deviceTopology(&t)
	} else {
		var st unix.Stat_t
		if unix.Fstat(d.fd, &st) == nil && st.Blksize >= SectorSize {
			t.PhysicalBlockSize = int(st.Blksize)
			t.DiscardGranularity = int(st.Blksize)
		}
	}
	if d.direct != nil {
		t.LogicalBlockSize = max(t.LogicalBlockSize, d.direct.unit)
	}
	t.PhysicalBlockSize = max(t.PhysicalBlockSize, t.LogicalBlockSize)
	return t
}

func (d *Raw) deviceTopology(t *Topology) {
	for _, q := range []struct {
		request uint
		into    *int
	}{
		{unix.BLKSSZGET, &t.LogicalBlockSize},
		{unix.BLKPBSZGET, &t.PhysicalBlockSize},
		{unix.BLKIOMIN, &t.MinimumIO},
		{unix.BLKIOOPT, &t.OptimalIO},
	} {
		// These ioctls write a C int, which IoctlGetUint32 reads.
		if v, err := unix.IoctlGetUint32(d.fd, q.request); err == nil && v <= math.MaxInt32 {
			*q.into = int(v)
		}
	}
	t.LogicalBlockSize = max(t.LogicalBlockSize, SectorSize)
	t.DiscardGranularity = discardGranularity(d.fd)
}

// discardGranularity reads the queue limits of a device, which a partition
// shares with its disk.
func discardGranularity(fd int) int {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return 0
	}
	dir := fmt.Sprintf("/sys/dev/block/%d:%d/", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	for _, name := range []string{"queue/discard_granularity", "../queue/discard_granularity"} {
		text, err := os.ReadFile(dir + name)
		if err != nil {
			continue
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n >= 0 {
			return n
		}
	}
	return 0
}
