package vmm

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/virtio/blk"
)

// disk is a disk of the board.
type disk struct {
	name          string // its target, vda
	config        *domcfg.Disk
	device        *blk.Device // nil if it is not a virtio disk
	channel, unit int         // where it is, if it is on IDE or a floppy drive

	// medium is the host end, nil in an empty drive. It and drive, which is nil
	// for hard disks, are the supervisor's once the machine runs.
	medium block.Backend
	drive  drive
}

// addDisks adds the virtio disks that the domain lists.
func (m *Machine) addDisks(ctx context.Context) error {
	for i, d := range m.domain.Devices.Disks {
		if d.Bus() != domcfg.BusVirtio {
			continue
		}
		if err := m.addDisk(ctx, d); err != nil {
			return diskError(i, d, err)
		}
	}
	return nil
}

func (m *Machine) addDisk(ctx context.Context, d *domcfg.Disk) error {
	name := d.Target.Dev
	backend, err := m.openMedium(ctx, d)
	if err != nil {
		return err
	}
	entry := &disk{name: name, config: d, medium: backend}
	m.noteDisk(entry)
	driver := driverOf(d)
	policy, err := block.ParseErrorPolicy(driver.ErrorPolicy)
	if err != nil {
		return err
	}
	var blockSize, physical int
	if d.BlockIO != nil {
		blockSize, physical = int(d.BlockIO.LogicalBlockSize), int(d.BlockIO.PhysicalBlockSize)
	}
	var transport virtioOptions
	if driver.Discard == "ignore" {
		transport.withhold = blk.FeatureDiscard
	}
	var failed atomic.Bool // until Resume, so that a storm of failures is one pause
	device, err := blk.New(blk.Options{
		Backend:   backend,
		Serial:    d.Serial,
		Queues:    cmp.Or(int(driver.Queues), min(len(m.cpus), blk.MaxQueues)),
		BlockSize: blockSize,

		PhysicalBlockSize: physical,

		Packed:      driver.Packed == domcfg.On,
		ErrorPolicy: policy,
		OnError: func(e block.IOError) {
			m.events.publish(Event{Kind: EventIOError, Device: name, Err: e.Err, Write: e.Op != block.Read})
			if e.Action == block.StopOnError && !failed.Swap(true) {
				m.requestPause(fmt.Errorf("disk %s: %w", name, e.Err))
			}
		},
		Log: m.named(name),
	})
	if err != nil {
		return err
	}
	m.closer.add(func() error { device.Close(); return nil })
	entry.device = device
	m.board.pausers = append(m.board.pausers, pauser{
		pause:  device.Pause,
		resume: func() { failed.Store(false); device.Resume() },
	})
	return m.addVirtio(name, d.Address, device, transport)
}

// blockOptions translates a disk's source and driver.
func blockOptions(d *domcfg.Disk) (o block.Options, err error) {
	driver := driverOf(d)
	o = block.Options{ReadOnly: d.ReadOnly || d.Device == domcfg.DeviceCDROM || d.Type == domcfg.DiskDir, Shareable: d.Shareable}
	switch d.Type {
	case domcfg.DiskFile:
		o.Path = d.Source.File
	case domcfg.DiskBlock:
		o.Path = d.Source.Dev
	}
	switch driver.Cache {
	case "", "default":
		o.Cache = block.CacheDefault
	case "none":
		o.Cache = block.CacheNone
	case "writethrough":
		o.Cache = block.CacheWritethrough
	case "writeback":
		o.Cache = block.CacheWriteback
	default:
		return o, fmt.Errorf("cache mode %s is not in this version", driver.Cache)
	}
	if d.Shareable && o.Cache == block.CacheDefault {
		o.Cache = block.CacheNone // what the other machine writes must be seen
	}
	switch driver.IO {
	case "":
		o.Engine = block.EngineDefault
	case "threads":
		o.Engine = block.EngineThreads
	case "native", "io_uring":
		o.Engine = block.EngineNative
	default:
		return o, fmt.Errorf("io=%s is not in this version", driver.IO)
	}
	return o, nil
}
