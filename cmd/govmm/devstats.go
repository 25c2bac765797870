package main

import (
	"cmp"
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm/qmp"
)

// memoryFact is something that a guest tells of its memory.
type memoryFact struct {
	qemu, libvirt string // its names
	amount        bool   // of memory, not a number
}

func memoryFacts() []memoryFact {
	return []memoryFact{
		{"stat-swap-in", "swap_in", true}, {"stat-swap-out", "swap_out", true},
		{"stat-major-faults", "major_fault", false}, {"stat-minor-faults", "minor_fault", false},
		{"stat-free-memory", "unused", true}, {"stat-total-memory", "available", true}, {"stat-available-memory", "usable", true},
		{"stat-disk-caches", "disk_caches", true}, {"stat-htlb-pgalloc", "hugetlb_pgalloc", false}, {"stat-htlb-pgfail", "hugetlb_pgfail", false},
	}
}

// balloon tells of the memory: what the guest has, what it says of it, and what of it the
// host has in RAM.
func (s *statistics) balloon(ctx context.Context, r remote) error {
	d, err := s.live(ctx, r)
	if err != nil {
		return err
	}
	s.add(uint64(d.CurrentMemory), "balloon.current")
	s.add(uint64(d.Memory), "balloon.maximum")
	var told struct{ Stats map[string]uint64 }
	// A guest without a driver, or too busy to answer, tells nothing.
	err = r.client.Execute(ctx, "__com.github.govmm_query-memstats", nil, &told)
	if _, answered := errors.AsType[*qmp.Error](err); err != nil && !answered {
		return err
	}
	for _, m := range memoryFacts() {
		if v, ok := told.Stats[m.qemu]; ok {
			if m.amount {
				v >>= 10
			}
			s.add(v, "balloon.%s", m.libvirt)
		}
	}
	resident, err := residentMemory(r.PID)
	if err != nil {
		return err
	}
	s.add(resident>>10, "balloon.rss")
	return nil
}

func (s *statistics) interfaces(ctx context.Context, r remote) error {
	d, err := s.live(ctx, r)
	if err != nil {
		return err
	}
	nets, err := r.deviceStats(ctx, "__com.github.govmm_query-netstats")
	if err != nil {
		return err
	}
	s.add(len(nets), "net.count")
	for i, n := range nets {
		s.add(cmp.Or(d.Devices.Interfaces[i].TargetDev, n.Device), "net.%d.name", i)
		for _, c := range []struct{ libvirt, ours string }{
			{"rx.bytes", "rx_bytes"}, {"rx.pkts", "rx_packets"}, {"rx.errs", "rx_errs"}, {"rx.drop", "rx_drop"},
			{"tx.bytes", "tx_bytes"}, {"tx.pkts", "tx_packets"}, {"tx.errs", "tx_errs"}, {"tx.drop", "tx_drop"},
		} {
			s.add(n.Stats[c.ours], "net.%d.%s", i, c.libvirt)
		}
	}
	return nil
}

// inserted is what is in a drive, or a hard disk (BlockInfo).
type inserted struct {
	Device   string
	Inserted struct {
		File  string
		Image struct {
			Size int64 `json:"virtual-size"`
		}
	}
}

func (s *statistics) blocks(ctx context.Context, r remote) error {
	var images []inserted
	if err := r.client.Execute(ctx, "query-block", nil, &images); err != nil {
		return err
	}
	of := make(map[string]inserted)
	for _, i := range images {
		of[i.Device] = i
	}
	blocks, err := r.deviceStats(ctx, "query-blockstats")
	if err != nil {
		return err
	}
	s.add(len(blocks), "block.count")
	for i, b := range blocks {
		s.add(b.Device, "block.%d.name", i)
		file := of[b.Device].Inserted.File
		if file != "" {
			s.add(file, "block.%d.path", i)
		}
		for _, c := range []struct{ libvirt, qemu string }{
			{"rd.reqs", "rd_operations"}, {"rd.bytes", "rd_bytes"}, {"wr.reqs", "wr_operations"}, {"wr.bytes", "wr_bytes"}, {"fl.reqs", "flush_operations"},
		} {
			s.add(b.Stats[c.qemu], "block.%d.%s", i, c.libvirt)
		}
		s.add(b.Stats["failed_rd_operations"]+b.Stats["failed_wr_operations"]+b.Stats["failed_flush_operations"], "block.%d.errors", i)
		s.sizes(i, of[b.Device])
	}
	return nil
}

// sizes tells how long a disk is for the guest (capacity), how much of the host it takes
// (allocation), and how long its file is (physical). A disk that is no file of this host
// has the first alone.
func (s *statistics) sizes(i int, of inserted) {
	capacity := of.Inserted.Image.Size
	var st unix.Stat_t
	isFile := unix.Stat(of.Inserted.File, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
	if isFile {
		s.add(st.Blocks*512, "block.%d.allocation", i)
	}
	if capacity > 0 {
		s.add(capacity, "block.%d.capacity", i)
	}
	if isFile {
		s.add(st.Size, "block.%d.physical", i)
	}
}

// deviceStats are the statistics of a disk or a network interface.
type deviceStats struct {
	Device string
	Stats  map[string]uint64
}

func (r *remote) deviceStats(ctx context.Context, command string) (all []deviceStats, err error) {
	err = r.client.Execute(ctx, command, nil, &all)
	return all, err
}
