package boot

import (
	"context"
	"fmt"
	"math"

	"github.com/govmm/govmm/boot/payload"
)

// placeInitrd finds room for the initial ramdisk, as high as the kernel
// permits, and starts to read it. Below limit (an address under or at 4 GiB)
// is tried first, then, if above4G, RAM from 4 GiB on. minimum keeps it from
// RAM that the kernel is going to use.
func (l *loader) placeInitrd(ctx context.Context, limit uint64, above4G bool) error {
	if l.Initrd == nil || l.Initrd.Size() == 0 {
		return nil
	}
	n := uint64(l.Initrd.Size())
	gpa, ok := l.arena.highest(window{n, pageSize, oneMiB, limit})
	if !ok && above4G {
		gpa, ok = l.arena.highest(window{n, pageSize, HighBase, math.MaxUint64})
	}
	if !ok {
		return blame(PartInitrd, fmt.Errorf("%d bytes do not fit in guest RAM: it has %d bytes below 4 GiB and %d above, "+
			"the kernel takes %d of them and wants the initrd below %#x; give the machine more memory",
			n, l.LowRAM, l.HighRAM, l.result.Kernel.Size, limit))
	}
	if err := l.arena.claim(gpa, n); err != nil {
		return blame(PartInitrd, err)
	}
	dst, err := l.mem.Slice(gpa, n)
	if err != nil {
		return blame(PartInitrd, err)
	}
	l.result.Initrd = Range{gpa, n}
	l.initrd = make(chan error, 1)
	go func() { l.initrd <- payload.ReadAt(ctx, l.Initrd, dst, 0) }()
	return nil
}

// waitInitrd waits until the initial ramdisk is in place. If Load has failed
// already, how its reading ended is of no interest.
func (l *loader) waitInitrd(failed bool) error {
	if l.initrd == nil {
		return nil
	}
	if err := <-l.initrd; err != nil && !failed {
		return blame(PartInitrd, err)
	}
	return nil
}
