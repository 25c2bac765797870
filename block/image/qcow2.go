package image

import (
	"bytes"
	"context"
	"errors"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/qcow2"
)

func qcow2Format() *Format {
	f := &Format{
		Name: "qcow2", Creates: true, Compresses: true, zeroed: true, ordered: true,
		Options: []Option{
			{"cluster_size", "bytes, a power of 2 from 512 to 2M (64k)"},
			{"compat", "0.10 (or v2) for old programs, 1.1 (or v3) (1.1)"},
			{"refcount_bits", "1, 2, 4, 8, 16, 32 or 64 (16)"},
			{"lazy_refcounts", "on: they lag behind while the image is in use (off)"},
			{"extended_l2", "on: clusters have 32 subclusters (off)"},
			{"compression_type", "zlib or zstd (zlib)"},
			{"preallocation", "off, or metadata: all tables are there (off)"},
			{"backing_file", "the file behind the image, as -b"},
			{"backing_fmt", "its format, as -F"},
		},
		probe: func(head []byte) bool {
			return bytes.HasPrefix(head, []byte("QFI\xfb\x00\x00\x00\x02")) || bytes.HasPrefix(head, []byte("QFI\xfb\x00\x00\x00\x03"))
		},
		open: func(ctx context.Context, below block.Layer, o openOptions) (block.Layer, error) {
			d, err := qcow2.Open(ctx, below, qcow2.Options{ReadOnly: o.readOnly, Fixed: o.fixed, Backing: o.backing, Log: o.log})
			if err != nil {
				return nil, err // a nil image must not become an interface
			}
			return d, nil
		},
		details: qcow2Details,
		check:   checkQcow2,
		empty:   emptyQcow2,
	}
	f.create = func(ctx context.Context, below block.Layer, o createOptions) error {
		c, err := qcow2Options(f, o)
		if err != nil {
			return err
		}
		return qcow2.Create(ctx, below, c)
	}
	return f
}

func qcow2Options(f *Format, o createOptions) (qcow2.CreateOptions, error) {
	v := o.values
	versions := map[string]int{"0.10": 2, "v2": 2, "1.1": 3, "v3": 3}
	c := qcow2.CreateOptions{
		Size: o.size, Backing: o.backing, BackingFormat: o.backingFormat, Fixed: o.fixed,
		ClusterSize:   v.number("cluster_size", 0),
		Version:       versions[v.word("compat", "1.1", "0.10", "1.1", "v2", "v3")],
		RefcountBits:  v.number("refcount_bits", 0),
		LazyRefcounts: v.flag("lazy_refcounts"),
		ExtendedL2:    v.flag("extended_l2"),
	}
	if v.word("compression_type", "zlib", "zlib", "zstd") == "zstd" {
		c.Compression = qcow2.Zstd
	}
	if v.word("preallocation", "off", "off", "metadata") == "metadata" {
		c.Preallocation = qcow2.PreallocationMetadata
	}
	return c, v.done(f)
}

func qcow2Details(below block.Layer) (Details, error) {
	i, err := qcow2.ReadInfo(below)
	if err != nil {
		return Details{}, err
	}
	d := Details{
		Size: i.Size, ClusterSize: i.ClusterSize, Dirty: i.Dirty, Backing: i.Backing, BackingFormat: i.BackingFormat,
		Specific: []Field{{"compat", "1.1"}, {"compression-type", i.Compression.String()}, {"lazy-refcounts", i.LazyRefcounts},
			{"refcount-bits", i.RefcountBits}, {"corrupt", i.Corrupt}, {"extended-l2", i.ExtendedL2}},
	}
	if i.Version == 2 {
		d.Specific = []Field{{"compat", "0.10"}, {"compression-type", i.Compression.String()}, {"refcount-bits", i.RefcountBits}}
	}
	for _, s := range i.Snapshots {
		d.Snapshots = append(d.Snapshots, Snapshot{
			ID: s.ID, Name: s.Name, StateSize: int64(s.VMStateSize), Seconds: s.Date.Unix(), Nanos: int64(s.Date.Nanosecond()),
			ClockSec: int64(s.Clock.Seconds()), ClockNano: s.Clock.Nanoseconds() % 1e9,
		})
	}
	return d, nil
}

func checkQcow2(ctx context.Context, below block.Layer, _ openOptions, repair Repair) (CheckResult, error) {
	kinds := map[Repair]qcow2.Repair{RepairNothing: qcow2.RepairNothing, RepairLeaks: qcow2.RepairLeaks, RepairAll: qcow2.RepairAll}
	r, err := qcow2.Check(ctx, below, kinds[repair])
	if err != nil {
		return CheckResult{}, err
	}
	i, err := qcow2.ReadInfo(below)
	if err != nil {
		return CheckResult{}, err
	}
	return CheckResult{
		Corruptions: r.Invalid + r.Wrong - r.Repaired, CorruptionsFixed: r.Repaired,
		Leaks: r.Leaked - r.Recovered, LeaksFixed: r.Recovered,
		TotalClusters:     (i.Size + i.ClusterSize - 1) / i.ClusterSize,
		AllocatedClusters: r.Clusters + r.Compressed, CompressedClusters: r.Compressed,
		ImageEndOffset: r.End,
	}, nil
}

func emptyQcow2(ctx context.Context, below block.Layer, o openOptions) error {
	i, err := qcow2.ReadInfo(below)
	if err != nil {
		return err
	}
	if len(i.Snapshots) > 0 {
		return errors.New("it has internal snapshots, which would be lost")
	}
	return qcow2.Create(ctx, below, qcow2.CreateOptions{
		Size: i.Size, Version: i.Version, ClusterSize: int(i.ClusterSize), RefcountBits: i.RefcountBits, LazyRefcounts: i.LazyRefcounts,
		ExtendedL2: i.ExtendedL2, Compression: i.Compression, Backing: i.Backing, BackingFormat: i.BackingFormat, Fixed: o.fixed,
	})
}
