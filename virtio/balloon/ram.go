package balloon

import (
	"errors"
	"unsafe"

	"github.com/govmm/govmm/memory"
)

// releaseStep is how much is discarded at a time. Locked memory is cleared
// instead, which takes its time, and a reset waits for the step in progress.
const releaseStep = 256 << 20

// ram is what the guest can give back: the machine's RAM. Memory of devices and
// ROM is not.
type ram struct {
	size    uint64
	parts   [2]part
	discard func(gpa, n uint64) error
}

// part is a piece of RAM. The second one may be empty.
type part struct {
	gpa  uint64
	host []byte
}

func (r *ram) init(mem *memory.Memory) error {
	if mem == nil {
		return errors.New("a balloon needs the machine's memory")
	}
	r.size, r.discard = mem.Size(), mem.Discard
	low, high := memory.Split(r.size)
	r.parts = [2]part{{gpa: 0}, {gpa: memory.HighStart}}
	for i, n := range [2]uint64{low, high} {
		host, err := mem.Slice(r.parts[i].gpa, n)
		if err != nil {
			return err
		}
		r.parts[i].host = host
	}
	return nil
}

// release gives the whole pages of a range back to the host, as far as they are
// RAM, and returns how many bytes of the range are. It ends early when stopped
// says so.
func (r *ram) release(gpa, n uint64, stopped func() bool) (released uint64, err error) {
	for _, p := range r.parts {
		first, last := max(gpa, p.gpa), min(gpa+n, p.gpa+uint64(len(p.host)))
		for first < last && !stopped() {
			step := min(last-first, releaseStep-first%releaseStep)
			if err := r.discard(first, step); err != nil {
				return released, err
			}
			first, released = first+step, released+step
		}
	}
	return released, nil
}

// address is where in the guest's memory a buffer of a chain lies. All of them
// are slices of RAM.
func (r *ram) address(b []byte) uint64 {
	at := uintptr(unsafe.Pointer(&b[0]))
	for _, p := range r.parts {
		if len(p.host) == 0 {
			continue
		}
		if offset := uint64(at - uintptr(unsafe.Pointer(&p.host[0]))); offset < uint64(len(p.host)) {
			return p.gpa + offset
		}
	}
	panic("balloon: a buffer is not in RAM")
}
