package fatdir

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

// Options say which directory becomes what.
type Options struct {
	Path string
	// Floppy makes a floppy, not a hard disk.
	Floppy bool
	// Zone is the time zone of the times of files; nil is the host's.
	Zone *time.Location
	// Log takes what is left out, and why. Nil discards it.
	Log *slog.Logger
}

// Disk is a directory as a FAT disk.
type Disk struct {
	path   string
	root   *os.Root
	layout layout
	head   []byte  // the sectors before the first FAT
	top    []byte  // the root directory with FAT12 and FAT16
	chains []*node // that have clusters, by their first
	used   uint32  // clusters
	files  files
}

var (
	_ block.Layer  = (*Disk)(nil)
	_ block.Mapper = (*Disk)(nil)
)

// Open looks at a directory and all below it. An error names the directory.
func Open(ctx context.Context, o Options) (*Disk, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Path)
	if err != nil {
		return nil, err
	}
	d := &Disk{path: o.Path, root: root}
	if err := d.build(&o); err != nil {
		return nil, errors.Join(fmt.Errorf("directory %s: %w", o.Path, err), root.Close())
	}
	d.files.open = make(map[*node]*file)
	return d, nil
}

// build makes the disk out of the tree.
func (d *Disk) build(o *Options) error {
	info, err := d.root.Stat(".")
	if err != nil {
		return err
	}
	top := &node{dir: true, modified: info.ModTime()}
	if err := (&scanner{root: d.root, log: o.Log}).scan(top, 0); err != nil {
		return err
	}
	var tooBig error
	walk(top, func(n *node) {
		if n.dir {
			size, err := directorySize(n)
			n.size = int64(size)
			tooBig = errors.Join(tooBig, err)
		}
	})
	if tooBig != nil {
		return tooBig
	}
	n := need{rootEntries: uint32(top.size / entrySize), clusters: func(sectors uint32) (sum uint64) {
		unit := int64(sectors) * sectorSize
		walk(top, func(n *node) {
			if n != top {
				sum += uint64((n.size + unit - 1) / unit)
			}
		})
		return sum
	}}
	if o.Floppy {
		d.layout, err = floppyLayout(n)
	} else {
		d.layout, err = diskLayout(n)
	}
	if err != nil {
		return err
	}
	d.allocate(top)
	label := [11]byte([]byte("GOVMM      "))
	walk(top, func(n *node) {
		if n.dir {
			n.content = appendDirectory(make([]byte, 0, n.size), n, label, o.Zone)
		}
	})
	if d.layout.bits != 32 {
		d.top = top.content
	}
	d.makeHead(label)
	return nil
}

// allocate gives each file and directory its clusters, one after the other.
func (d *Disk) allocate(top *node) {
	unit := int64(d.layout.cluster) * sectorSize
	next := uint32(2)
	walk(top, func(n *node) {
		if n.size == 0 || n == top && d.layout.bits != 32 {
			return
		}
		n.first, n.clusters = next, uint32((n.size+unit-1)/unit)
		next += n.clusters
		d.chains = append(d.chains, n)
	})
	d.used = next - 2
}

// makeHead writes what is before the first FAT.
func (d *Disk) makeHead(label [11]byte) {
	l := &d.layout
	d.head = make([]byte, int(l.fatStart())*sectorSize)
	h := fnv.New32a()
	h.Write([]byte(d.path)) // never fails
	serial := h.Sum32()
	if l.hidden != 0 {
		l.partitionTable(d.head, serial)
	}
	fs := d.head[l.hidden*sectorSize:]
	l.bootSector(fs[:sectorSize], serial, label)
	if l.bits == 32 {
		l.info(fs[infoSector*sectorSize:][:sectorSize], d.used)
		backup := fs[backupSector*sectorSize:]
		copy(backup, fs[:2*sectorSize])
	}
}

// Path is the directory as it was given.
func (d *Disk) Path() string { return d.path }

// Size implements [block.Layer].
func (d *Disk) Size() int64 { return int64(d.layout.end()) * sectorSize }

// ReadOnly implements [block.Layer].
func (d *Disk) ReadOnly() bool { return true }

// WriteVec implements [block.Layer].
func (d *Disk) WriteVec([][]byte, int64) error { return block.ErrReadOnly }

// WriteZeroes implements [block.Layer].
func (d *Disk) WriteZeroes(int64, int64, bool) error { return block.ErrReadOnly }

// Discard implements [block.Layer].
func (d *Disk) Discard(int64, int64) error { return block.ErrReadOnly }

// Flush implements [block.Layer].
func (d *Disk) Flush() error { return nil }

// Close implements [block.Layer].
func (d *Disk) Close() error { return errors.Join(d.files.close(), d.root.Close()) }

// ReadVec implements [block.Layer].
func (d *Disk) ReadVec(vec [][]byte, offset int64) error {
	var n int64
	for _, b := range vec {
		n += int64(len(b))
	}
	if offset < 0 || offset > d.Size() || n > d.Size()-offset {
		return block.ErrOutOfRange
	}
	for _, b := range vec {
		for len(b) > 0 {
			n, err := d.read(b, offset)
			if err != nil {
				return err
			}
			b = b[n:]
			offset += int64(n)
		}
	}
	return nil
}

// read fills the beginning of p, as much as is in one place.
func (d *Disk) read(p []byte, offset int64) (int, error) {
	l := &d.layout
	fat, root, data := int64(l.fatStart())*sectorSize, int64(l.rootStart())*sectorSize, int64(l.dataStart())*sectorSize
	switch {
	case offset < fat:
		return copy(p, d.head[offset:]), nil
	case offset < root:
		length := int64(l.fatSectors) * sectorSize
		at := (offset - fat) % length
		p = p[:min(int64(len(p)), length-at)]
		d.readFAT(p, at)
		return len(p), nil
	case offset < data:
		p = p[:min(int64(len(p)), data-offset)]
		clear(p[copyFrom(p, d.top, offset-root):])
		return len(p), nil
	}
	unit := int64(l.cluster) * sectorSize
	cluster := uint32((offset-data)/unit) + 2
	n := d.chain(cluster)
	if n == nil {
		clear(p) // free: no chain begins after the first free cluster
		return len(p), nil
	}
	at := offset - data - int64(n.first-2)*unit
	p = p[:min(int64(len(p)), int64(n.clusters)*unit-at)]
	if n.dir {
		clear(p[copyFrom(p, n.content, at):])
		return len(p), nil
	}
	return len(p), d.readFile(n, p, at)
}

// copyFrom copies from b what is there from byte at on.
func copyFrom(p, b []byte, at int64) int {
	if at >= int64(len(b)) {
		return 0
	}
	return copy(p, b[at:])
}

// chain finds the file or directory to which a cluster belongs, nil for none.
func (d *Disk) chain(cluster uint32) *node {
	i := sort.Search(len(d.chains), func(i int) bool { return d.chains[i].first > cluster }) - 1
	if i < 0 || cluster-d.chains[i].first >= d.chains[i].clusters {
		return nil
	}
	return d.chains[i]
}

// readFAT fills p from a byte of the FAT on.
func (d *Disk) readFAT(p []byte, at int64) {
	bits := int64(d.layout.bits)
	var n *node // of the entry before
	entry := func(i uint32) uint32 {
		const end = 0x0fffffff
		switch {
		case i == 0:
			return 0x0fffff00 | uint32(d.layout.media)
		case i == 1:
			return end
		}
		if n == nil || i < n.first || i-n.first >= n.clusters {
			if n = d.chain(i); n == nil {
				return 0
			}
		}
		if i-n.first == n.clusters-1 {
			return end
		}
		return i + 1
	}
	// Three bytes hold two entries of 12 bits; from there on, it is the same for
	// all kinds: write whole groups, of which the ends may stick out.
	group, entries := bits/8, int64(1)
	if bits == 12 {
		group, entries = 3, 2
	}
	for len(p) > 0 {
		var b [4]byte
		first := uint32(at / group * entries)
		if bits == 12 {
			binary.LittleEndian.PutUint32(b[:], entry(first)&0xfff|entry(first+1)&0xfff<<12)
		} else {
			binary.LittleEndian.PutUint32(b[:], entry(first))
		}
		c := copy(p, b[at%group:group])
		p = p[c:]
		at += int64(c)
	}
}

// readFile fills p from byte at of a file on. What is beyond its end is zeroes.
func (d *Disk) readFile(n *node, p []byte, at int64) error {
	f, err := d.files.get(d.root, n)
	if err != nil {
		return errors.Join(unix.EIO, err)
	}
	defer d.files.put(f)
	want := p[:min(max(n.size-at, 0), int64(len(p)))]
	got, err := f.ReadAt(want, at)
	if err != nil && !errors.Is(err, io.EOF) { // at which it has become shorter
		return fmt.Errorf("%s: %w", n.path(), err)
	}
	clear(p[got:])
	return nil
}

// Map implements [block.Mapper]: the end of the disk is free.
func (d *Disk) Map(offset, length int64) (block.Extent, error) {
	if offset < 0 || length < 0 || offset > d.Size() || length > d.Size()-offset {
		return block.Extent{}, block.ErrOutOfRange
	}
	free := (int64(d.layout.dataStart()) + int64(d.used)*int64(d.layout.cluster)) * sectorSize
	if offset >= free {
		return block.Extent{Length: length, Zero: true}, nil
	}
	return block.Extent{Length: min(length, free-offset), Allocated: true}, nil
}
