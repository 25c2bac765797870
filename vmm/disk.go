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
	name   string // its target, vda
	device *blk.Device
}

// addDisks adds the disks that the domain lists.
func (m *Machine) addDisks(ctx context.Context) error {
	for i, d := range m.domain.Devices.Disks {
		if err := m.addDisk(ctx, d); err != nil {
			return fmt.Errorf("devices/disk[%d]: %s: %w", i+1, d.Target.Dev, err)
		}
	}
	return nil
}

func (m *Machine) addDisk(ctx context.Context, d *domcfg.Disk) error {
	o, err := blockOptions(d)
	if err != nil {
		return err
	}
	name := d.Target.Dev
	o.Log = m.named(name)
	backend, err := block.Open(ctx, o)
	if err != nil {
		return err
	}
	m.closer.add(backend.Close)
	policy, err := errorPolicy(d.Driver.ErrorPolicy)
	if err != nil {
		return err
	}
	var blockSize int
	if d.BlockIO != nil {
		blockSize = int(d.BlockIO.LogicalBlockSize)
	}
	var transport virtioOptions
	if d.Driver.Discard == "ignore" {
		transport.withhold = blk.FeatureDiscard
	}
	var failed atomic.Bool // until Resume, so that a storm of failures is one pause
	device, err := blk.New(blk.Options{
		Backend:     backend,
		Serial:      d.Serial,
		Queues:      cmp.Or(int(d.Driver.Queues), min(len(m.cpus), blk.MaxQueues)),
		BlockSize:   blockSize,
		Packed:      d.Driver.Packed == domcfg.On,
		ErrorPolicy: policy,
		OnError: func(e blk.IOError) {
			m.events.publish(Event{Kind: EventIOError, Device: name, Err: e.Err})
			if e.Action == blk.Stop && !failed.Swap(true) {
				m.requestPause(fmt.Errorf("disk %s: %w", name, e.Err))
			}
		},
		Log: m.named(name),
	})
	if err != nil {
		return err
	}
	m.closer.add(func() error { device.Close(); return nil })
	m.board.disks = append(m.board.disks, &disk{name: name, device: device})
	m.board.pausers = append(m.board.pausers, pauser{
		pause:  device.Pause,
		resume: func() { failed.Store(false); device.Resume() },
	})
	return m.addVirtio(name, d.Address, device, transport)
}

// blockOptions translates a disk's source and driver.
func blockOptions(d *domcfg.Disk) (o block.Options, err error) {
	o = block.Options{ReadOnly: d.ReadOnly, Shareable: d.Shareable}
	switch d.Type {
	case domcfg.DiskFile:
		o.Path = d.Source.File
	case domcfg.DiskBlock:
		o.Path = d.Source.Dev
	default:
		return o, fmt.Errorf("a source of type %s has no host end in this version", d.Type)
	}
	switch d.Driver.Cache {
	case "", "default":
		o.Cache = block.CacheDefault
	case "none":
		o.Cache = block.CacheNone
	case "writethrough":
		o.Cache = block.CacheWritethrough
	case "writeback":
		o.Cache = block.CacheWriteback
	default:
		return o, fmt.Errorf("cache mode %s is not in this version", d.Driver.Cache)
	}
	if d.Shareable && o.Cache == block.CacheDefault {
		o.Cache = block.CacheNone // what the other machine writes must be seen
	}
	switch d.Driver.IO {
	case "":
		o.Engine = block.EngineDefault
	case "threads":
		o.Engine = block.EngineThreads
	case "native", "io_uring":
		o.Engine = block.EngineNative
	default:
		return o, fmt.Errorf("io=%s is not in this version", d.Driver.IO)
	}
	return o, nil
}

func errorPolicy(word string) (blk.ErrorPolicy, error) {
	switch word {
	case "", "enospace":
		return blk.PolicyEnospace, nil
	case "stop":
		return blk.PolicyStop, nil
	case "ignore":
		return blk.PolicyIgnore, nil
	case "report":
		return blk.PolicyReport, nil
	}
	return 0, fmt.Errorf("error_policy %s is not in this version", word)
}
