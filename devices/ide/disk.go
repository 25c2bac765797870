package ide

import (
	"errors"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// disk is an ATA disk.
type disk struct {
	*drive
	backend  block.Backend
	readOnly bool
	cache    bool // whether there is a write cache after power-on
	options  DiskOptions

	sectors  atomic.Uint64 // the disk's size
	geometry CHS           // of the last power-on
}

// attach implements DriveOptions.
func (o DiskOptions) attach(d *drive) error {
	if err := o.check(); err != nil {
		return err
	}
	k := &disk{
		drive: d, backend: o.Backend, readOnly: o.Backend.ReadOnly(),
		cache: o.Backend.WriteCache(), options: o,
	}
	if o.Model == "" {
		k.options.Model = diskModel
	}
	if o.Revision == "" {
		k.options.Revision = defaultRevision
	}
	q, err := o.Backend.NewQueue(block.QueueOptions{Completed: d.completed, Depth: 1})
	if err != nil {
		return err
	}
	d.queue, d.errors, d.dev = q, o.Errors, k
	o.Backend.OnResize(k.resized)
	k.resized(o.Backend.Size())
	return nil
}

// resized takes the disk's new size, which a driver finds when it asks.
func (k *disk) resized(size int64) { k.sectors.Store(uint64(size) / block.SectorSize) }

func (k *disk) packet() bool { return false }

func (k *disk) powerOn(DriveState) {
	k.geometry = k.options.Geometry
	if (k.geometry == CHS{}) {
		k.geometry = Geometry(k.sectors.Load())
	}
	if k.backend.WriteCache() != k.cache {
		k.setCache(k.cache)
	}
	k.s.Disk = DiskState{
		Translation:  k.geometry,
		Multiple:     maxMultiple,
		TransferMode: modeUltraDMA | maxUltraDMA,
		WriteCache:   k.cache,
		LookAhead:    true,
		Power:        PowerActive,
		SMART:        true, SMARTAutosave: true,
	}
}

// setCache turns the write cache on or off, and reports what goes wrong, which
// is the flush of what was written before.
func (k *disk) setCache(on bool) error {
	err := k.backend.SetWriteCache(on)
	if err != nil {
		k.ch.c.log.Error("cannot flush the disk when its write cache is turned off", "drive", k.name, "error", err)
	}
	return err
}

// reset keeps all settings, as after SET FEATURES 66h.
func (k *disk) reset() {}

func (k *disk) close() error {
	k.backend.OnResize(nil)
	return k.queue.Close()
}

// execute starts a command.
func (k *disk) execute(command uint8) {
	if p, ext, multiple := transfer(command); p != protocolNone {
		k.transfer(p, ext, multiple)
		return
	}
	s := &k.s.Disk
	switch command {
	case cmdIdentify:
		k.identify()
		k.offer(0, block.SectorSize)
	case cmdSetFeatures:
		k.setFeatures()
	case cmdSetMultiple:
		n := uint8(k.s.Count)
		if n > maxMultiple || n&(n-1) != 0 {
			k.fail(errorABRT)
			return
		}
		s.Multiple = n
		k.succeed()
	case cmdInitializeParams:
		k.initializeParameters()
	case cmdDataSetManagement:
		k.dataSetManagement()
	case cmdSMART:
		k.smart()
	case cmdFlushCache, cmdFlushCacheExt, cmdSleep, cmdSleepOld,
		cmdStandby, cmdStandbyOld, cmdStandbyImmediate, cmdStandbyImmediateOld:
		k.submit(block.Flush, 0, nil, 0)
	case cmdIdle, cmdIdleOld, cmdIdleImmediate, cmdIdleImmediateOld:
		s.Power = PowerIdle
		k.succeed()
	case cmdCheckPowerMode, cmdCheckPowerModeOld:
		k.s.Count = uint16(s.Power)
		k.succeed()
	case cmdReadNativeMax, cmdReadNativeMaxExt:
		k.readNativeMax(command == cmdReadNativeMaxExt)
	default:
		k.executeObsolete(command)
	}
}

// executeObsolete starts a command of ATA-1 to ATA-6 that moves no data, or
// refuses one that there is not.
func (k *disk) executeObsolete(command uint8) {
	switch command & 0xF0 {
	case cmdRecalibrate:
		k.succeed()
	case cmdSeek:
		if lba, ok := k.address(false); !ok || lba >= k.sectors.Load() {
			k.fail(errorIDNF)
			return
		}
		k.succeed()
	default:
		k.fail(errorABRT)
	}
}

// done ends a command that is not a transfer, when the host's disk is done.
func (k *disk) done(err error) {
	if p, _, _ := transfer(k.s.Command); p != protocolNone {
		k.transferred(p, err)
		return
	}
	switch k.s.Command {
	case cmdDataSetManagement:
		k.trimmed(err)
		return
	case cmdFlushCache, cmdFlushCacheExt, cmdSetFeatures:
	default:
		if err == nil {
			k.s.Disk.Power = PowerStandby
		}
	}
	if err != nil {
		k.fail(errorABRT)
		return
	}
	k.succeed()
}

// initializeParameters sets the translation of addresses in the old way:
// sectors a track, and the last head in the Device register.
func (k *disk) initializeParameters() {
	heads, perTrack := k.ch.s.Device&deviceHead+1, uint8(k.s.Count)
	if perTrack == 0 {
		k.fail(errorABRT)
		return
	}
	k.s.Disk.Translation = translation(k.sectors.Load(), heads, perTrack)
	k.succeed()
}

// readNativeMax gives the address of the last sector.
func (k *disk) readNativeMax(ext bool) {
	last := max(k.sectors.Load(), 1) - 1
	if !ext {
		last = min(last, maxLBA28-1)
	}
	k.setAddress(last, ext)
	k.succeed()
}

// errorOf is what the Error register says of a request that has failed.
func errorOf(op block.Op, err error) uint8 {
	switch {
	case errors.Is(err, block.ErrOutOfRange):
		return errorIDNF
	case op == block.Read && !errors.Is(err, block.ErrClosed):
		return errorUNC
	}
	return errorABRT
}
