package block

import "github.com/govmm/govmm/block/iouring"

// chooseEngine settles what EngineDefault means, and whether EngineNative can
// be had.
func (d *Raw) chooseEngine() {
	if d.engine != EngineNative {
		d.engine = EngineThreads
		return
	}
	ring, err := iouring.New(1)
	if err == nil {
		err = ring.Close()
	}
	if err != nil {
		d.engine = EngineThreads
		d.log.Warn("io=\"native\" is not possible, using io=\"threads\"", "image", d.path, "error", err)
	}
}
