package image

import (
	"bytes"
	"context"
	"errors"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/bochs"
)

// bochsFormat is the "growing" image of Bochs.
func bochsFormat() *Format {
	f := &Format{
		Name: "bochs", Creates: true, zeroed: true, ordered: true,
		probe: func(head []byte) bool { return bytes.HasPrefix(head, []byte("Bochs Virtual HD Image\x00")) },
		open: func(ctx context.Context, below block.Layer, o openOptions) (block.Layer, error) {
			d, err := bochs.Open(ctx, below, bochs.Options{ReadOnly: o.readOnly, Fixed: o.fixed, Log: o.log})
			if err != nil {
				return nil, err // a nil image must not become an interface
			}
			return d, nil
		},
		details: func(below block.Layer) (Details, error) {
			i, err := bochs.ReadInfo(below)
			if err != nil {
				return Details{}, err
			}
			return Details{Size: i.Size, Specific: []Field{{"extent-size", i.ExtentSize}, {"max-size", i.MaxSize}}}, nil
		},
		check: checkBochs,
	}
	f.create = func(ctx context.Context, below block.Layer, o createOptions) error {
		if err := o.values.done(f); err != nil {
			return err
		}
		if o.backing != "" {
			return errors.New("a growing image of Bochs has no backing file; qed and qcow2 have")
		}
		return bochs.Create(ctx, below, bochs.CreateOptions{Size: o.size})
	}
	return f
}

func checkBochs(ctx context.Context, below block.Layer, o openOptions, repair Repair) (CheckResult, error) {
	before, err := bochs.Check(ctx, below, false)
	if err != nil {
		return CheckResult{}, err
	}
	r := before
	if repair != RepairNothing && !o.fixed {
		if r, err = bochs.Check(ctx, below, true); err != nil {
			return CheckResult{}, err
		}
	}
	return CheckResult{
		Corruptions: r.Invalid + r.Shared, Leaks: r.Leaked, LeaksFixed: before.Leaked - r.Leaked,
		TotalClusters: r.Entries, AllocatedClusters: r.Extents, ImageEndOffset: r.End,
	}, nil
}
