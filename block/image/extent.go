package image

import "github.com/govmm/govmm/block"

// extent is a stretch of a disk that is alike in where it is.
type extent struct {
	length int64
	zero   bool // it reads as zeroes
	held   bool // an image has it; otherwise none has, so it is zeroes
	depth  int  // of the image that has it, or is too short: 0 is the first
}

// extent finds where the disk has what begins at an offset, in the image or one
// behind it. It is at most length bytes long, and at least one.
func (i *Image) extent(offset, length int64) (extent, error) {
	for depth := 0; ; depth++ {
		m, ok := i.Layer.(block.Mapper)
		if !ok {
			return extent{length: length, held: true, depth: depth}, nil
		}
		e, err := m.Map(offset, length)
		if err != nil {
			return extent{}, err
		}
		if e.Zero || e.Allocated || i.backing == nil {
			return extent{length: e.Length, zero: e.Zero, held: e.Allocated, depth: depth}, nil
		}
		length = e.Length
		i = i.backing
		if offset >= i.Size() {
			return extent{length: length, zero: true, depth: depth}, nil
		}
		length = min(length, i.Size()-offset)
	}
}

// Region is a stretch of a disk, as `qemu-img map` tells of it.
type Region struct {
	Start  int64 `json:"start"`  // bytes
	Length int64 `json:"length"` // bytes
	// Depth is how many images are in front of the one that has it.
	Depth int `json:"depth"`
	// Present says that an image has it.
	Present bool `json:"present"`
	// Zero says that it reads as zeroes.
	Zero bool `json:"zero"`
	// Data says that it is to be read from an image.
	Data bool `json:"data"`
}

// Map tells where the disk has its data, from its beginning to its end.
func (i *Image) Map(yield func(Region) error) error {
	var last Region
	for at, size := int64(0), i.Size(); at < size; {
		e, err := i.extent(at, size-at)
		if err != nil {
			return err
		}
		r := Region{Start: at, Length: e.length, Depth: e.depth, Present: e.held, Zero: e.zero, Data: e.held && !e.zero}
		at += e.length
		if last.Length > 0 && last.Depth == r.Depth && last.Present == r.Present && last.Zero == r.Zero {
			last.Length += r.Length
			continue
		}
		if last.Length > 0 {
			if err := yield(last); err != nil {
				return err
			}
		}
		last = r
	}
	if last.Length == 0 {
		return nil
	}
	return yield(last)
}
