package block

// chooseEngine settles what EngineDefault means and whether EngineNative can be
// had.
func (d *Raw) chooseEngine() { d.engine = EngineThreads }

func newRingQueue(d *Raw, o QueueOptions) (Queue, error) {
	return d.workers.newQueue(d.Do, d.tryRead, o)
}
