package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/qed"
)

func qedFormat() *Format {
	return &Format{
		Name: "qed", Creates: true, zeroed: true, ordered: true,
		Options: []Option{
			{"cluster_size", "bytes, a power of 2 from 4k to 64M (64k)"},
			{"table_size", "clusters, 2, 4, 8 or 16 (4)"},
			{"backing_file", "the raw file behind the image, as -b"},
			{"backing_fmt", "its format, as -F: raw"},
		},
		probe: func(head []byte) bool { return bytes.HasPrefix(head, []byte("QED\x00")) },
		open: func(ctx context.Context, below block.Layer, o openOptions) (block.Layer, error) {
			d, err := qed.Open(ctx, below, qedOptions(o))
			if err != nil {
				return nil, err // a nil image must not become an interface
			}
			return d, nil
		},
		create:  createQED,
		details: qedDetails,
		check:   checkQED,
		empty:   emptyQED,
	}
}

func qedOptions(o openOptions) qed.Options {
	q := qed.Options{ReadOnly: o.readOnly, Fixed: o.fixed, Log: o.log}
	if o.backing != nil {
		q.Backing = func(ctx context.Context, name string) (block.Layer, error) { return o.backing(ctx, name, "raw") }
	}
	return q
}

func createQED(ctx context.Context, below block.Layer, o createOptions) error {
	c := qed.CreateOptions{
		Size: o.size, Backing: o.backing,
		ClusterSize: o.values.number("cluster_size", 0), TableSize: o.values.number("table_size", 0),
	}
	if err := o.values.done(qedFormat()); err != nil {
		return err
	}
	if o.backing != "" && o.backingFormat != "raw" {
		return fmt.Errorf("the backing file of a QED image is raw, not %s", o.backingFormat)
	}
	return qed.Create(ctx, below, c)
}

func qedDetails(below block.Layer) (Details, error) {
	i, err := qed.ReadInfo(below)
	if err != nil {
		return Details{}, err
	}
	d := Details{Size: i.Size, ClusterSize: i.ClusterSize, Dirty: i.NeedCheck, Backing: i.Backing}
	if i.BackingRaw {
		d.BackingFormat = "raw"
	}
	return d, nil
}

func checkQED(ctx context.Context, below block.Layer, o openOptions, repair Repair) (CheckResult, error) {
	r, err := qed.Check(ctx, below, repair == RepairAll)
	if err != nil {
		return CheckResult{}, err
	}
	leaked := r.Leaked
	if repair != RepairNothing && r.Sound() {
		// Opening takes back what a process that was killed has left behind.
		o.backing = func(context.Context, string, string) (block.Layer, error) { return emptyLayer{}, nil }
		d, err := qed.Open(ctx, keep(below), qedOptions(o))
		if err != nil {
			return CheckResult{}, err
		}
		if err := d.Close(); err != nil {
			return CheckResult{}, err
		}
		repaired := r.Repaired
		if r, err = qed.Check(ctx, below, false); err != nil {
			return CheckResult{}, err
		}
		r.Invalid, r.Repaired = r.Invalid+repaired, repaired
	}
	i, err := qed.ReadInfo(below)
	if err != nil {
		return CheckResult{}, err
	}
	return CheckResult{
		Corruptions: r.Invalid - r.Repaired + r.Shared, CorruptionsFixed: r.Repaired,
		Leaks: r.Leaked, LeaksFixed: leaked - r.Leaked,
		TotalClusters:     (i.Size + i.ClusterSize - 1) / i.ClusterSize,
		AllocatedClusters: r.Clusters,
		ImageEndOffset:    r.End,
	}, nil
}

func emptyQED(ctx context.Context, below block.Layer, _ openOptions) error {
	i, err := qed.ReadInfo(below)
	if err != nil {
		return err
	}
	if i.Backing != "" && !i.BackingRaw {
		return errors.New("the image does not record the format of its backing file")
	}
	return qed.Create(ctx, below, qed.CreateOptions{
		Size: i.Size, ClusterSize: int(i.ClusterSize), TableSize: int(i.TableSize), Backing: i.Backing,
	})
}
