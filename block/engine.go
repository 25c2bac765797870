package block

import "github.com/govmm/govmm/block/iouring"

// chooseEngine settles what EngineDefault means, and whether EngineNative can
// be had.
func (d *Raw) chooseEngine() {
	asked := d.engine == EngineNative
	if d.engine == EngineThreads || !asked && d.direct == nil {
		d.engine = EngineThreads
		return
	}
	d.engine = EngineNative
	ring, err := iouring.New(1)
	if err == nil {
		err = ring.Close()
	}
	if err != nil {
		d.engine = EngineThreads
		if asked {
			d.log.Warn("io=\"native\" is not possible, using io=\"threads\"", "image", d.path, "error", err)
		}
	}
}
