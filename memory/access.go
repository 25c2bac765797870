package memory

import "fmt"

// AccessError is an access to guest-physical memory that cannot be made.
type AccessError struct {
	GPA uint64 // where it starts
	Len uint64 // bytes
	Why string
}

// Reasons in an AccessError.
const (
	whyUnmapped   = "no memory there"
	whySplit      = "not in one region"
	whyReadOnly   = "read-only memory"
	whyMisaligned = "not aligned"
)

// Error says which access and why.
func (e *AccessError) Error() string {
	return fmt.Sprintf("guest memory at %#x, %d bytes: %s", e.GPA, e.Len, e.Why)
}

// find returns the region that gpa lies in.
func (m *Memory) find(gpa uint64) *region {
	for _, r := range m.all() {
		if gpa-r.GPA < r.Size { // wraps to something large below the region
			return r
		}
	}
	return nil
}

// locate returns the host memory of an access within one region. n is not 0.
func (m *Memory) locate(gpa, n uint64) (*region, []byte, error) {
	r := m.find(gpa)
	if r == nil {
		return nil, nil, &AccessError{GPA: gpa, Len: n, Why: whyUnmapped}
	}
	offset := gpa - r.GPA
	if n > r.Size-offset {
		return nil, nil, &AccessError{GPA: gpa, Len: n, Why: whySplit}
	}
	return r, r.Host[offset : offset+n : offset+n], nil
}

// locateRAM is locate for an access that may write.
func (m *Memory) locateRAM(gpa, n uint64) (*region, []byte, error) {
	r, b, err := m.locate(gpa, n)
	if err == nil && r.Kind != RAM {
		return nil, nil, &AccessError{GPA: gpa, Len: n, Why: whyReadOnly}
	}
	return r, b, err
}

// Slice returns n bytes of RAM at gpa, in place. They lie in one region. Who
// writes to them calls MarkDirty afterwards. An empty slice can be had
// anywhere.
func (m *Memory) Slice(gpa, n uint64) ([]byte, error) {
	if n == 0 {
		return []byte{}, nil
	}
	_, b, err := m.locateRAM(gpa, n)
	return b, err
}

// View is Slice for reading only, of RAM or ROM.
func (m *Memory) View(gpa, n uint64) ([]byte, error) {
	if n == 0 {
		return []byte{}, nil
	}
	_, b, err := m.locate(gpa, n)
	return b, err
}

// ReadAt copies guest memory at gpa to p. It may span regions that adjoin. It
// copies all or nothing.
func (m *Memory) ReadAt(p []byte, gpa uint64) error {
	if len(p) == 0 {
		return nil
	}
	if _, b, err := m.locate(gpa, uint64(len(p))); err == nil {
		copy(p, b)
		return nil
	}
	if err := m.checkSpan(gpa, uint64(len(p)), false); err != nil {
		return err
	}
	for len(p) > 0 {
		b := m.rest(gpa)
		n := copy(p, b)
		p, gpa = p[n:], gpa+uint64(n)
	}
	return nil
}

// WriteAt copies p to RAM at gpa. It may span regions that adjoin. It copies
// all or nothing.
func (m *Memory) WriteAt(p []byte, gpa uint64) error {
	if len(p) == 0 {
		return nil
	}
	if r, b, err := m.locateRAM(gpa, uint64(len(p))); err == nil {
		copy(b, p)
		r.mark(gpa, uint64(len(p)))
		return nil
	}
	if err := m.checkSpan(gpa, uint64(len(p)), true); err != nil {
		return err
	}
	for len(p) > 0 {
		n := copy(m.rest(gpa), p)
		m.find(gpa).mark(gpa, uint64(n))
		p, gpa = p[n:], gpa+uint64(n)
	}
	return nil
}

// Zero clears n bytes of RAM at gpa. It may span regions that adjoin. It clears
// all or nothing.
func (m *Memory) Zero(gpa, n uint64) error {
	if err := m.checkSpan(gpa, n, true); err != nil {
		return err
	}
	for n > 0 {
		b := m.rest(gpa)
		b = b[:min(n, uint64(len(b)))]
		clear(b)
		m.find(gpa).mark(gpa, uint64(len(b)))
		gpa, n = gpa+uint64(len(b)), n-uint64(len(b))
	}
	return nil
}

// rest returns the memory from gpa to the end of its region, after checkSpan.
func (m *Memory) rest(gpa uint64) []byte {
	r := m.find(gpa)
	return r.Host[gpa-r.GPA:]
}

// checkSpan checks an access that may span regions.
func (m *Memory) checkSpan(gpa, n uint64, write bool) error {
	at, left := gpa, n
	for left > 0 {
		r := m.find(at)
		if r == nil {
			return &AccessError{GPA: gpa, Len: n, Why: whyUnmapped}
		}
		if write && r.Kind != RAM {
			return &AccessError{GPA: gpa, Len: n, Why: whyReadOnly}
		}
		// Regions end below 2^52, so at does not wrap.
		step := min(left, r.GPA+r.Size-at)
		at, left = at+step, left-step
	}
	return nil
}
