package vmm

import (
	"context"
	"errors"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm/cgroup"
)

// limitsOf are the limits by control group that a domain has, and the path of the first
// element that says one, "" for none.
func limitsOf(d *domcfg.Domain) (l cgroup.Limits, first string) {
	take := func(path string, value uint64, to *uint64) {
		if *to = value; value != 0 && first == "" {
			first = path
		}
	}
	amount := func(path string, k domcfg.KiB, to *uint64) {
		if k < domcfg.Unlimited {
			take(path, k.Bytes(), to)
		}
	}
	if t := d.CPUTune; t != nil {
		take(limitPath(cgroup.CPUShares), uint64(t.Shares), &l.CPUShares)
	}
	if t := d.BlkioTune; t != nil {
		take(limitPath(cgroup.IOWeight), uint64(t.Weight), &l.IOWeight)
	}
	if t := d.MemTune; t != nil {
		amount(limitPath(cgroup.MemoryHard), t.HardLimit, &l.MemoryHard)
		amount(limitPath(cgroup.MemorySoft), t.SoftLimit, &l.MemorySoft)
		amount(limitPath(cgroup.MemorySwap), t.SwapHardLimit, &l.MemorySwap)
		amount(limitPath(cgroup.MemoryMin), t.MinGuarantee, &l.MemoryMin)
	}
	if l.MemoryHard == 0 {
		l.MemoryHard = l.MemorySwap // memory alone is no more than memory and swap
	}
	return l, first
}

// limitPath is the element that says a limit.
func limitPath(l cgroup.Limit) string {
	switch l {
	case cgroup.CPUShares:
		return "cputune/shares"
	case cgroup.IOWeight:
		return "blkiotune/weight"
	case cgroup.MemoryHard:
		return "memtune/hard_limit"
	case cgroup.MemorySoft:
		return "memtune/soft_limit"
	case cgroup.MemorySwap:
		return "memtune/swap_hard_limit"
	}
	return "memtune/min_guarantee"
}

// joinGroup puts the process into a control group with the domain's limits, until Close.
// Limits that the process is under already are looked at before.
func (m *Machine) joinGroup(context.Context) error {
	size := ramSize(m.domain)
	if err := checkMemory(size); err != nil {
		return err
	}
	l, first := limitsOf(m.domain)
	if first == "" {
		return nil
	}
	if !m.options.OwnsProcess {
		return m.domain.Fault(first, "limits hold for a whole process, and this one is not the machine's alone: "+
			`run it with "govmm run", or set Options.OwnsProcess`)
	}
	group, err := cgroup.Join(m.domain.Name, l)
	if refused := (*cgroup.Error)(nil); errors.As(err, &refused) {
		return hostError(m.domain.Fault(limitPath(refused.Limit), "%v", err))
	}
	if err != nil {
		return err
	}
	m.closer.add(group.Leave)
	if l.MemoryHard != 0 && l.MemoryHard < size {
		m.log.Warn("the guest has more memory than the hard limit, and is killed when it uses that",
			"memory", size, "hard_limit", l.MemoryHard)
	}
	return nil
}
