package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/govmm/govmm/block"
)

// Repair is what Check puts right.
type Repair uint8

// What there is to repair.
const (
	RepairNothing Repair = iota
	// RepairLeaks gives back space that nothing uses, which is without danger.
	RepairLeaks
	// RepairAll also changes tables that make no sense, which may lose data.
	RepairAll
)

// ErrNoCheck is a format in which there is nothing to check.
var ErrNoCheck = errors.New("the format has nothing that could be checked")

// CheckOptions say how to check an image.
type CheckOptions struct {
	Repair     Repair
	ForceShare bool // for looking alone
	Log        *slog.Logger
}

// CheckResult is what Check found. Numbers that a format does not have are 0.
type CheckResult struct {
	Corruptions        int64 `json:"corruptions,omitempty"` // that are still there
	CorruptionsFixed   int64 `json:"corruptions-fixed,omitempty"`
	Leaks              int64 `json:"leaks,omitempty"` // clusters that are still lost
	LeaksFixed         int64 `json:"leaks-fixed,omitempty"`
	TotalClusters      int64 `json:"total-clusters,omitempty"`
	AllocatedClusters  int64 `json:"allocated-clusters,omitempty"`
	FragmentedClusters int64 `json:"fragmented-clusters,omitempty"`
	CompressedClusters int64 `json:"compressed-clusters,omitempty"`
	ImageEndOffset     int64 `json:"image-end-offset,omitempty"` // bytes
}

// Check looks whether the tables of an image make sense, and repairs them if it
// is to. Images behind it are not looked at.
func Check(ctx context.Context, s Source, o CheckOptions) (r CheckResult, err error) {
	format, err := FindFormat(s.Format)
	if err != nil {
		return r, fmt.Errorf("%s: %w", s.Name, err)
	}
	if format.check == nil {
		return r, fmt.Errorf("%s: %s: %w", s.Name, format.Name, ErrNoCheck)
	}
	if o.ForceShare && o.Repair != RepairNothing {
		return r, errors.New("an image that is in use cannot be repaired")
	}
	st, err := openStore(ctx, s.Name, storeOptions{
		readOnly: o.Repair == RepairNothing, forceShare: o.ForceShare, cache: CacheWriteback, log: o.Log,
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	r, err = format.check(ctx, st.Layer, openOptions{
		readOnly: o.Repair == RepairNothing, fixed: !st.regular(), secret: s.Secret, log: o.Log,
	}, o.Repair)
	if err != nil {
		return r, fmt.Errorf("%s: %w", s.Name, err)
	}
	return r, nil
}

// emptyLayer stands for a backing file that is of no interest.
type emptyLayer struct{}

var _ block.Layer = emptyLayer{}

func (emptyLayer) Size() int64                          { return 0 }
func (emptyLayer) ReadOnly() bool                       { return true }
func (emptyLayer) ReadVec([][]byte, int64) error        { return block.ErrOutOfRange }
func (emptyLayer) WriteVec([][]byte, int64) error       { return block.ErrReadOnly }
func (emptyLayer) WriteZeroes(int64, int64, bool) error { return block.ErrReadOnly }
func (emptyLayer) Discard(int64, int64) error           { return block.ErrReadOnly }
func (emptyLayer) Flush() error                         { return nil }
func (emptyLayer) Close() error                         { return nil }
