package boot

import (
	"context"
	"errors"
	"fmt"

	"github.com/govmm/govmm/boot/payload"
)

// loadUnpacked unpacks the kernel of a bzImage straight into guest RAM and
// starts it at its own 64-bit entry, past the decompressor. It reports false
// if the kernel is better or only unpacked by the guest; nothing has been
// loaded then.
//
// It does what the guest's decompressor does (arch/x86/boot/compressed): load
// the ELF segments, choose an address, apply the relocations. It does not turn
// on 5-level paging, which only guests with over 64 TiB would use.
func (l *loader) loadUnpacked(ctx context.Context, h *setupHeader) (bool, error) {
	if l.Decompress == DecompressNever {
		return false, nil
	}
	v, err := l.openVmlinux(ctx, h)
	if err != nil {
		if l.Decompress == DecompressAlways {
			return false, fmt.Errorf("cannot be unpacked by the host: %w", err)
		}
		l.log.Debug("the guest unpacks its kernel", "reason", err)
		return false, nil
	}
	defer v.r.Close()
	if err := l.loadVmlinux(ctx, h, v); err != nil {
		return false, fmt.Errorf("unpacking %s: %w", v.format, err)
	}
	return true, nil
}

// vmlinux is the kernel in a bzImage, about to be unpacked.
type vmlinux struct {
	packedPayload
	r     *payload.Reader
	img   *elfImage
	span  Range  // where it is linked to be loaded
	entry uint64 // physical, as linked
}

// openVmlinux unpacks as much as the ELF headers and checks that the host can
// load and start this kernel. The caller closes v.r.
func (l *loader) openVmlinux(ctx context.Context, h *setupHeader) (v *vmlinux, err error) {
	if !h.is64() || !h.relocatable || h.alignment%largePageSize != 0 {
		return nil, errors.New("it is no relocatable 64-bit kernel of boot protocol 2.12 or later")
	}
	p, err := h.findPayload(ctx, l.Kernel)
	if err != nil {
		return nil, err
	}
	switch {
	case !p.format.Supported():
		return nil, fmt.Errorf("its payload is compressed with %s: %w", p.format, payload.ErrUnsupported)
	case !l.Decompress.onHost(p.format, l.GuestSlow):
		return nil, fmt.Errorf("the guest is not slower at unpacking %s", p.format)
	case uint64(p.size) > h.initSize:
		return nil, fmt.Errorf("its payload unpacks to %d bytes, and it reserves %d", p.size, h.initSize)
	}
	r, err := payload.Open(p.format, p.data, p.size)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	v = &vmlinux{packedPayload: p, r: r}
	if v.img, err = parseELF(r); err != nil {
		return nil, err
	}
	v.span = v.img.span()
	if v.entry, err = v.img.physicalEntry(); err != nil {
		return nil, err
	}
	switch {
	case !v.img.is64:
		return nil, errors.New("its payload is a 32-bit ELF file")
	case v.span.Base != h.prefAddress:
		return nil, fmt.Errorf("it is linked to be loaded at %#x and prefers %#x", v.span.Base, h.prefAddress)
	case !v.img.disjoint():
		return nil, errors.New("its ELF segments overlap")
	case v.relocsSize() > maxRelocs:
		return nil, fmt.Errorf("it has %d bytes of relocations", v.relocsSize())
	case v.span.Size > h.initSize:
		return nil, fmt.Errorf("it takes %d bytes and reserves %d", v.span.Size, h.initSize)
	}
	return v, ctx.Err()
}

// window is where the kernel may be loaded.
func (v *vmlinux) window(h *setupHeader) window {
	return window{n: v.span.Size, align: h.alignment, minimum: v.span.Base, limit: HighBase}
}

// loadVmlinux places, loads, relocates and starts an unpacked kernel.
func (l *loader) loadVmlinux(ctx context.Context, h *setupHeader, v *vmlinux) error {
	// The initrd goes where it leaves room for the kernel at its first place;
	// the random choice is among what is free after that.
	first, ok := l.arena.lowest(v.window(h))
	if !ok {
		return fmt.Errorf("kernel needs %d bytes of RAM at %#x or above, and the machine has %d bytes below 4 GiB: "+
			"give the machine more memory", v.span.Size, v.span.Base, l.LowRAM)
	}
	l.result.Kernel = Range{first, v.span.Size}
	without := *l.arena
	if err := l.arena.claim(first, v.span.Size); err != nil {
		return err
	}
	if err := l.placeInitrd(ctx, h.initrdTop(), h.initrdAbove4G()); err != nil {
		return err
	}
	where := placement{physical: first}
	if wantKASLR(l.Cmdline, v) {
		l.arena.free = without.free
		if r := l.result.Initrd; r.Size > 0 {
			if err := l.arena.claim(r.Base, r.Size); err != nil {
				return err
			}
		}
		var err error
		if where, err = l.randomPlacement(h, v, first); err != nil {
			return err
		}
		if err := l.arena.claim(where.physical, v.span.Size); err != nil {
			return err
		}
	}
	l.result.Kernel.Base = where.physical

	// A kernel linked higher than it is loaded makes the shift wrap around,
	// which comes out right.
	shift := where.physical - v.span.Base
	var relocs []payload.Part
	if where.virtual != 0 {
		relocs = append(relocs, v.relocs())
	}
	if _, err := l.loadSegments(ctx, v.r, v.img, shift, relocs...); err != nil {
		return err
	}
	if where.virtual != 0 {
		err := l.relocate(relocs[0].Dst, v, where)
		if errors.Is(err, errRelocLayout) {
			l.log.Warn("kernel's virtual addresses are not randomized", "reason", err)
			where.virtual, err = 0, nil
		}
		if err != nil {
			return err
		}
	}
	if where.random {
		h.loadflags |= kaslrFlag
		l.result.Randomized, l.result.VirtualOffset = true, where.virtual
	}
	if err := l.writeBootParams(h, SetupDataBase); err != nil {
		return err
	}
	l.result.Unpacked = v.format
	return l.startLinux(Linux64, v.entry+shift)
}
