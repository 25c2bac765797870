package block

import (
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// direct is what cache="none" adds: the alignment O_DIRECT asks for, and a way
// for requests that do not have it.
//
// A request whose offset and length are whole units but whose memory is not
// aligned is copied through a buffer. A write that covers a part of a unit also
// reads the unit first; it has the disk's writes to itself meanwhile, or what
// another request writes to the same unit would be undone. The units are those
// of the host's disk, 512 or 4096 bytes, so with a guest that was told of them
// none of this happens.
//
// The last unit of a file whose size is no multiple of the unit cannot be
// written directly without making the file longer. Requests that touch it go
// through the page cache, on a descriptor of its own.
type direct struct {
	path   string
	unit   int // alignment of offset and length, bytes
	memory int // alignment of addresses, bytes

	// edge is held for writing by a write of part of a unit, and for reading by
	// every other operation that changes the disk.
	edge sync.RWMutex

	mu       sync.RWMutex // of the tail
	tail     int          // descriptor without O_DIRECT, -1 when not needed
	tailFrom int64        // the last unit, if it is not whole; else the size

	buffers buffers
}

// maxUnit is the largest alignment that is believed, in bytes.
const maxUnit = 64 << 10

func newDirect(fd int, path string, device bool, size int64) (*direct, error) {
	unit, memory, err := directAlignment(fd, path, device)
	if err != nil {
		return nil, err
	}
	if unit > maxUnit || unit&(unit-1) != 0 || memory > maxUnit || memory&(memory-1) != 0 {
		return nil, fmt.Errorf("%s: cache=\"none\" wants an alignment of %d bytes and %d in memory, which is out of the ordinary: %w",
			path, unit, memory, ErrNoDirectIO)
	}
	x := &direct{path: path, unit: unit, memory: memory, tail: -1}
	if err := x.setTail(fd, size); err != nil {
		return nil, err
	}
	return x, nil
}

// directAlignment finds what O_DIRECT asks of a file, which is open with it.
func directAlignment(fd int, path string, device bool) (unit, memory int, err error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st); err == nil && st.Mask&unix.STATX_DIOALIGN != 0 {
		if st.Dio_offset_align == 0 {
			return 0, 0, noDirectIO(path)
		}
		return max(int(st.Dio_offset_align), SectorSize), max(int(st.Dio_mem_align), 1), nil
	}
	if device {
		n, err := unix.IoctlGetUint32(fd, unix.BLKSSZGET)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: BLKSSZGET: %w", path, err)
		}
		unit = max(int(n), SectorSize)
		return unit, unit, nil
	}
	unit, err = probeAlignment(fd, path)
	return unit, unit, err
}

// probeAlignment reads with growing lengths until the kernel takes one, for
// kernels before 6.1 and file systems that do not tell.
func probeAlignment(fd int, path string) (int, error) {
	length, err := fileLength(fd, false)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	if length == 0 {
		return 4096, nil // nothing to read; no file system wants more
	}
	b, err := newBuffer()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	defer b.free()
	for unit := SectorSize; unit <= maxUnit; unit *= 2 {
		_, err = b.transfer(unix.SYS_PREADV2, fd, 0, unit, 0, 0)
		if err == nil {
			return unit, nil
		}
		if err != unix.EINVAL {
			return 0, fmt.Errorf("%s: a first direct read: %w", path, err)
		}
	}
	return 0, noDirectIO(path)
}

// noDirectIO says which file system cannot do it.
func noDirectIO(path string) error {
	return fmt.Errorf("%s: cache=\"none\" is not possible on this file system (%s); use another cache mode: %w",
		path, fileSystem(path), ErrNoDirectIO)
}

// fileSystem names the file system of a path.
func fileSystem(path string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "unknown"
	}
	switch int64(st.Type) {
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.FUSE_SUPER_MAGIC:
		return "FUSE"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4 (data journalling, encryption or verity exclude it)"
	}
	return fmt.Sprintf("type %#x", uint32(st.Type))
}

// setTail finds the last unit and opens the file for it if need be. The path
// may name another file by now, so it is opened through its descriptor.
func (x *direct) setTail(fd int, size int64) error {
	x.tailFrom = size &^ int64(x.unit-1)
	if x.tailFrom == size || x.tail >= 0 {
		return nil
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", x.path, err)
	}
	tail, err := openRetry(fmt.Sprintf("/proc/self/fd/%d", fd), flags&unix.O_ACCMODE|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("%s: cannot be opened again for its last %d bytes, which are less than the %d that O_DIRECT takes: %w",
			x.path, size-x.tailFrom, x.unit, err)
	}
	x.tail = tail
	return nil
}

// resized follows a change of the disk's size.
func (x *direct) resized(fd int, size int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.setTail(fd, size)
}

// inTail reports whether a request touches the last, partial unit, and gives
// the descriptor to use then.
func (x *direct) inTail(r *Request) (fd int, in bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.tail, r.Offset+r.total > x.tailFrom
}

// aligned reports whether O_DIRECT takes a request as it is.
func (x *direct) aligned(r *Request) bool {
	unit, memory := uintptr(x.unit-1), uintptr(x.memory-1)
	bad := uintptr(r.Offset|r.total) & unit
	for _, b := range r.Vec {
		if len(b) > 0 {
			bad |= uintptr(len(b))&unit | uintptr(unsafe.Pointer(unsafe.SliceData(b)))&memory
		}
	}
	return bad == 0
}

func (x *direct) close() error {
	x.buffers.close()
	if x.tail < 0 {
		return nil
	}
	err := unix.Close(x.tail)
	x.tail = -1
	return err
}

// asItIs reports whether a checked request can go to the kernel unchanged, on
// any thread.
func (x *direct) asItIs(r *Request) bool {
	_, tail := x.inTail(r)
	return !tail && x.aligned(r)
}

func (d *Raw) directRead(r *Request) error {
	if fd, tail := d.direct.inTail(r); tail {
		return d.read(fd, r)
	}
	if d.direct.aligned(r) {
		return d.read(d.fd, r)
	}
	return d.bounceRead(r)
}

func (d *Raw) directWrite(r *Request) error {
	x := d.direct
	if fd, tail := x.inTail(r); tail {
		x.edge.Lock()
		defer x.edge.Unlock()
		return d.write(fd, r)
	}
	if (r.Offset|r.total)&int64(x.unit-1) != 0 {
		x.edge.Lock()
		defer x.edge.Unlock()
		return d.bounceWrite(r)
	}
	x.edge.RLock()
	defer x.edge.RUnlock()
	if x.aligned(r) {
		return d.write(d.fd, r)
	}
	return d.bounceWrite(r)
}

// shareEdge keeps writes of part of a unit away while the host changes the
// disk without them. The caller calls unshareEdge after it.
func (d *Raw) shareEdge() {
	if d.direct != nil {
		d.direct.edge.RLock()
	}
}

func (d *Raw) unshareEdge() {
	if d.direct != nil {
		d.direct.edge.RUnlock()
	}
}
