package qmp

import (
	"context"
	"errors"
	"os"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

// setLink plugs a network cable in or out. A name is an alias, an interface of the
// host, or a MAC address.
func (s *Server) setLink(ctx context.Context, a *arguments) (any, error) {
	name, up := need[string](a, "name"), need[bool](a, "up")
	return do(a, func() error {
		err := s.machine.SetLink(ctx, name, up)
		if errors.Is(err, vmm.ErrNoDevice) {
			return &Error{ClassDeviceNotFound, err.Error()}
		}
		return err
	})
}

// watchdogSetAction changes what follows when the watchdog fires.
func (s *Server) watchdogSetAction(_ context.Context, a *arguments) (any, error) {
	action := need[string](a, "action")
	return do(a, func() error { return s.machine.SetWatchdogAction(domcfg.WatchdogAction(action)) })
}

// injectNMI gives each processor a non-maskable interrupt.
func (s *Server) injectNMI(ctx context.Context, a *arguments) (any, error) {
	return do(a, func() error { return s.machine.InjectNMI(ctx) })
}

// reboot is an extension: the power button, and a reset when the guest has switched
// itself off.
func (s *Server) reboot(ctx context.Context, a *arguments) (any, error) {
	return do(a, func() error { return s.machine.Reboot(ctx) })
}

// queryTarget tells the architecture (TargetInfo).
func (s *Server) queryTarget(_ context.Context, a *arguments) (any, error) {
	return map[string]string{"arch": "x86_64"}, a.done()
}

// queryBlockStats tells what disks have done (BlockStats), those that count.
func (s *Server) queryBlockStats(_ context.Context, a *arguments) (any, error) {
	type stats struct {
		ReadBytes    uint64 `json:"rd_bytes"`
		WriteBytes   uint64 `json:"wr_bytes"`
		UnmapBytes   uint64 `json:"unmap_bytes"`
		Reads        uint64 `json:"rd_operations"`
		Writes       uint64 `json:"wr_operations"`
		Flushes      uint64 `json:"flush_operations"`
		Unmaps       uint64 `json:"unmap_operations"`
		FailedReads  uint64 `json:"failed_rd_operations"`
		FailedWrites uint64 `json:"failed_wr_operations"`
		FailedFlush  uint64 `json:"failed_flush_operations"`
		FailedUnmaps uint64 `json:"failed_unmap_operations"`
	}
	type info struct {
		Device string `json:"device"`
		QDev   string `json:"qdev"`
		Stats  stats  `json:"stats"`
	}
	list := []info{}
	for _, d := range s.machine.DiskStats() {
		list = append(list, info{d.Target, d.Target, stats{
			d.Read.Bytes, d.Write.Bytes, d.Discard.Bytes,
			d.Read.Requests, d.Write.Requests, d.Flush.Requests, d.Discard.Requests,
			d.Read.Errors, d.Write.Errors, d.Flush.Errors, d.Discard.Errors,
		}})
	}
	return list, a.done()
}

// queryNetStats is an extension, as QEMU's machines do not count this: what network
// interfaces have moved. rx is what the guest receives.
func (s *Server) queryNetStats(_ context.Context, a *arguments) (any, error) {
	type stats struct {
		RxBytes   uint64 `json:"rx_bytes"`
		RxPackets uint64 `json:"rx_packets"`
		RxErrs    uint64 `json:"rx_errs"`
		RxDrop    uint64 `json:"rx_drop"`
		TxBytes   uint64 `json:"tx_bytes"`
		TxPackets uint64 `json:"tx_packets"`
		TxErrs    uint64 `json:"tx_errs"`
		TxDrop    uint64 `json:"tx_drop"`
	}
	type info struct {
		Device string `json:"device"` // the alias
		Stats  stats  `json:"stats"`
	}
	list := []info{}
	for _, n := range s.machine.NetStats() {
		list = append(list, info{n.Alias, stats(n.Stats)})
	}
	return list, a.done()
}

// dumpXML is an extension: the domain as it runs, with what the host has chosen.
func (s *Server) dumpXML(_ context.Context, a *arguments) (any, error) {
	if err := a.done(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	media := make(map[string]string)
	for _, d := range s.drives {
		media[d.target()] = d.file
	}
	s.mu.Unlock()
	xml, err := s.machine.LiveXML(uint(os.Getpid()), media)
	if err != nil {
		return nil, err
	}
	return map[string]string{"xml": xml}, nil
}
