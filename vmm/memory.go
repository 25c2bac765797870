package vmm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/memory"
)

// hugePage is the size of the pages that a domain wants its memory in, in bytes, 0 for
// ordinary ones.
func hugePage(d *domcfg.Domain) (uint64, error) {
	b := d.MemoryBacking
	if b == nil || b.HugePages == nil {
		return 0, nil
	}
	if len(b.HugePages.Pages) > 0 {
		return b.HugePages.Pages[0].Bytes(), nil
	}
	size := memory.DefaultHugePage()
	if size == 0 {
		return 0, errors.New("this host's kernel has no huge pages (CONFIG_HUGETLBFS)")
	}
	return size, nil
}

// memoryConfig is the RAM that the domain wants, which this host can have.
func (m *Machine) memoryConfig() (memory.Config, error) {
	c := memory.Config{Size: ramSize(m.domain)}
	var err error
	if c.HugePage, err = hugePage(m.domain); err == nil {
		err = memory.Check(c)
	}
	return c, m.memoryError(err)
}

// memoryError is the error of RAM that this host cannot have.
func (m *Machine) memoryError(err error) error {
	switch b := m.domain.MemoryBacking; {
	case err == nil:
		return nil
	case b != nil && b.HugePages != nil:
		return hostError(m.domain.Fault("memoryBacking/hugepages", "%v", err))
	}
	return hostError(fmt.Errorf("memory: %w", err))
}

// backMemory maps the guest's RAM, and takes it from the host where the domain wants that:
// with huge pages, which may have to be made at its first use, and when it is locked.
func (m *Machine) backMemory(ctx context.Context) error {
	c, err := m.memoryConfig()
	if err != nil {
		return err
	}
	if m.ram, err = memory.New(c); err != nil {
		return m.memoryError(err)
	}
	m.closer.add(m.ram.Close)
	b := m.domain.MemoryBacking
	if b == nil {
		return nil
	}
	immediate := b.Allocation != nil && b.Allocation.Mode == domcfg.AllocateImmediately
	if c.HugePage != 0 || b.Locked || immediate {
		err := m.takeMemory(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return hostError(m.domain.Fault("memoryBacking", "%v", err))
		}
	}
	if !b.Locked {
		return nil
	}
	if err := m.ram.Lock(); err != nil {
		return hostError(m.domain.Fault("memoryBacking/locked", "%v", err))
	}
	return nil
}

const (
	// takenAtOnce is how much memory a thread takes before it looks for more, and progress
	// is told: a few pages of 1 GiB are one piece each.
	takenAtOnce = 128 << 20
	// maxTakers are enough threads for the bandwidth of any memory.
	maxTakers = 16
)

// takeMemory takes all RAM from the host, by several threads.
func (m *Machine) takeMemory(ctx context.Context) error {
	type piece struct{ gpa, size uint64 }
	var pieces []piece
	for _, r := range m.ram.Regions() {
		for done := uint64(0); done < r.Size; done += takenAtOnce {
			pieces = append(pieces, piece{r.GPA + done, min(r.Size-done, takenAtOnce)})
		}
	}
	takers := min(runtime.GOMAXPROCS(0), maxTakers)
	if a := m.domain.MemoryBacking.Allocation; a != nil && a.Threads != 0 {
		takers = int(a.Threads)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var told sync.Mutex
	var taken uint64
	var working sync.WaitGroup
	for range min(takers, len(pieces)) {
		working.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(pieces)); i = next.Add(1) - 1 {
				p := pieces[i]
				if err := m.ram.Populate(ctx, p.gpa, p.size); err != nil {
					cancel(err)
					return
				}
				told.Lock()
				taken += p.size
				if m.options.MemoryProgress != nil {
					m.options.MemoryProgress(taken, m.ram.Size())
				}
				told.Unlock()
			}
		})
	}
	working.Wait()
	return context.Cause(ctx)
}
