package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

// Details are what an image says of itself.
type Details struct {
	Size          int64 // of the disk, in bytes
	ClusterSize   int64 // in bytes, 0 if it has none
	Encrypted     bool
	Dirty         bool   // it was not closed after its last change
	Backing       string // the name of the file behind it; empty for none
	BackingFormat string // empty if it is not recorded
	Snapshots     []Snapshot
	Specific      []Field // what only its format has
}

// Snapshot is an internal snapshot of an image.
type Snapshot struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	StateSize int64  `json:"vm-state-size"` // bytes of the machine's state
	Seconds   int64  `json:"date-sec"`      // since 1970
	Nanos     int64  `json:"date-nsec"`
	ClockSec  int64  `json:"vm-clock-sec"` // the machine's running time
	ClockNano int64  `json:"vm-clock-nsec"`
}

// Field is a name and a value: a string, a number, a bool or Fields.
type Field struct {
	Name  string
	Value any
}

// Info describes an image.
type Info struct {
	Source  Source
	Details Details
	// FullBacking is where the file behind the image is.
	FullBacking string
	// DiskSize is the space that the image takes up on the host in bytes, -1 if
	// that is not known.
	DiskSize int64
}

// InfoOptions say how to look at an image.
type InfoOptions struct {
	ForceShare bool
	// Chain also looks at the images behind it.
	Chain bool
	Log   *slog.Logger
}

// ReadInfo describes an image, or with o.Chain it and those behind it.
func ReadInfo(ctx context.Context, s Source, o InfoOptions) (list []*Info, err error) {
	var above []*store
	for {
		i, st, err := readInfo(ctx, s, o)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
		d := &i.Details
		if d.Backing == "" {
			return list, nil
		}
		if full, err := backingPath(st.path, d.Backing); err == nil {
			i.FullBacking = full
		}
		if !o.Chain {
			return list, nil
		}
		next, err := backingSource(s, st.path, d.Backing, d.BackingFormat)
		above = append(above, st)
		if err == nil {
			err = checkChain(next.Name, above)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: backing file: %w", s.Name, err)
		}
		s = next
	}
}

// readInfo describes one image. The store that it returns is closed.
func readInfo(ctx context.Context, s Source, o InfoOptions) (_ *Info, _ *store, err error) {
	format, err := FindFormat(s.Format)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	st, err := openStore(ctx, s.Name, storeOptions{readOnly: true, forceShare: o.ForceShare, log: o.Log})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	i := &Info{Source: s, DiskSize: -1}
	if i.Details, err = format.details(st.Layer); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if st.path != "" {
		var stat unix.Stat_t
		if err := unix.Stat(st.path, &stat); err != nil {
			return nil, nil, hostError(st.path, err)
		}
		i.DiskSize = stat.Blocks * block.SectorSize // of 512 bytes on every file system
	}
	return i, st, nil
}

// MarshalJSON writes what `qemu-img info --output=json` does.
func (i *Info) MarshalJSON() ([]byte, error) {
	d := &i.Details
	out := Fields{
		{"filename", i.Source.Name}, {"format", i.Source.Format}, {"virtual-size", d.Size}, {"dirty-flag", d.Dirty},
	}
	if i.DiskSize >= 0 {
		out = append(out, Field{"actual-size", i.DiskSize})
	}
	if d.ClusterSize > 0 {
		out = append(out, Field{"cluster-size", d.ClusterSize})
	}
	if d.Encrypted {
		out = append(out, Field{"encrypted", true})
	}
	if d.Backing != "" {
		out = append(out, Field{"backing-filename", d.Backing})
	}
	if i.FullBacking != "" {
		out = append(out, Field{"full-backing-filename", i.FullBacking})
	}
	if d.BackingFormat != "" {
		out = append(out, Field{"backing-filename-format", d.BackingFormat})
	}
	if len(d.Snapshots) > 0 {
		out = append(out, Field{"snapshots", d.Snapshots})
	}
	if len(d.Specific) > 0 {
		out = append(out, Field{"format-specific", Fields{{"type", i.Source.Format}, {"data", Fields(d.Specific)}}})
	}
	return json.Marshal(out)
}

// Fields are an object whose members have an order.
type Fields []Field

// MarshalJSON writes the members in their order.
func (f Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.Name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(m.Value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
