package memory

import (
	"cmp"
	"fmt"
	"slices"
)

// Add maps a further region: firmware, or the memory of a device. It must not
// overlap another one. gpa and size are in bytes and multiples of PageSize.
func (m *Memory) Add(name string, kind Kind, gpa, size uint64) (Region, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkFree(name, gpa, size, nil); err != nil {
		return Region{}, err
	}
	host, err := mapPages(size)
	if err != nil {
		return Region{}, fmt.Errorf("map %s of memory for %s: %w", FormatSize(size), name, err)
	}
	r := &region{
		Region: Region{Name: name, Kind: kind, GPA: gpa, Size: size, Host: host},
		owned:  true,
	}
	if m.tracking {
		r.dirty.Store(newBitmap(size))
	}
	m.publish(append(slices.Clone(m.all()), r))
	return r.Region, nil
}

// Move gives the region that starts at gpa a new address, with its contents.
// Only regions made by Add can move.
func (m *Memory) Move(gpa, to uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, err := m.added(gpa)
	if err != nil {
		return err
	}
	if err := m.checkFree(old.Name, to, old.Size, old); err != nil {
		return err
	}
	moved := &region{Region: old.Region, owned: true}
	moved.GPA = to
	moved.dirty.Store(old.dirty.Load())
	m.publish(append(m.without(old), moved))
	return nil
}

// Remove unmaps the region that starts at gpa. Only regions made by Add can be
// removed, and only when nobody uses their memory any more.
func (m *Memory) Remove(gpa uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.added(gpa)
	if err != nil {
		return err
	}
	m.publish(m.without(r))
	return unmap(r.Host)
}

// added finds a region made by Add.
func (m *Memory) added(gpa uint64) (*region, error) {
	for _, r := range m.all() {
		if r.GPA == gpa && r.owned {
			return r, nil
		}
	}
	return nil, fmt.Errorf("no added memory region starts at %#x", gpa)
}

func (m *Memory) without(gone *region) []*region {
	return slices.DeleteFunc(slices.Clone(m.all()), func(r *region) bool { return r == gone })
}

func (m *Memory) publish(regions []*region) {
	slices.SortFunc(regions, func(a, b *region) int { return cmp.Compare(a.GPA, b.GPA) })
	m.regions.Store(&regions)
}

// checkFree says whether a region could be at gpa, not minding except.
func (m *Memory) checkFree(name string, gpa, size uint64, except *region) error {
	switch {
	case m.closed:
		return fmt.Errorf("memory region %s: memory is closed", name)
	case size == 0 || gpa%PageSize != 0 || size%PageSize != 0:
		return fmt.Errorf("memory region %s: %#x bytes at %#x is not a whole number of %d-byte pages",
			name, size, gpa, PageSize)
	case gpa >= maxGPA || size > maxGPA-gpa:
		return fmt.Errorf("memory region %s: %#x bytes at %#x ends beyond 52 bits of address", name, size, gpa)
	}
	for _, r := range m.all() {
		if r != except && gpa < r.GPA+r.Size && r.GPA < gpa+size {
			return fmt.Errorf("memory region %s at %#x-%#x overlaps %s at %#x-%#x",
				name, gpa, gpa+size-1, r.Name, r.GPA, r.GPA+r.Size-1)
		}
	}
	return nil
}
