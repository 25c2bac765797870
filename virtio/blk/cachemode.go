package blk

import (
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/virtio"
)

// cacheMode is whether the disk has a volatile write cache (sections 5.2.5.2
// and 5.2.6.2). The driver may choose by the writeback field. One that has not
// negotiated VIRTIO_BLK_F_FLUSH cannot flush, and gets no cache.
//
// A change of the host's disk may take long, and the driver makes its choice on
// a vCPU thread. So it is put into force by who comes to write next.
type cacheMode struct {
	backend block.Backend
	log     *slog.Logger
	initial bool

	wanted   atomic.Bool // what the driver is shown
	canFlush atomic.Bool // the driver can
	fixed    atomic.Bool // the driver has not negotiated VIRTIO_BLK_F_CONFIG_WCE

	mu    sync.Mutex
	force atomic.Bool // what the host does; written with mu held
}

func (m *cacheMode) init(b block.Backend, log *slog.Logger) {
	m.backend, m.log, m.initial = b, log, b.WriteCache()
	m.force.Store(m.initial)
	m.reset()
}

// reset makes the driver's choice anew.
func (m *cacheMode) reset() {
	m.canFlush.Store(true)
	m.fixed.Store(false)
	m.wanted.Store(m.initial)
}

// negotiated takes the features into account. The driver may have chosen
// already.
func (m *cacheMode) negotiated(f virtio.Features) {
	m.fixed.Store(!f.Has(FeatureConfigWCE))
	m.canFlush.Store(f.Has(FeatureFlush))
	if m.fixed.Load() {
		m.wanted.Store(m.initial)
	}
	if !m.canFlush.Load() {
		m.wanted.Store(false)
	}
}

// choose is the driver's choice.
func (m *cacheMode) choose(on bool) {
	if !m.fixed.Load() {
		m.wanted.Store(on && m.canFlush.Load())
	}
}

// inForce reports whether nothing is to be changed.
func (m *cacheMode) inForce() bool { return m.wanted.Load() == m.force.Load() }

// apply puts the choice into force.
func (m *cacheMode) apply() {
	m.mu.Lock()
	defer m.mu.Unlock()
	want := m.wanted.Load()
	if want == m.force.Load() {
		return
	}
	// After a failure the mode is the new one all the same; what fails is the
	// flush of what was written before, which the driver must not rely on
	// (section 5.2.5.2).
	if err := m.backend.SetWriteCache(want); err != nil {
		m.log.Error("cannot flush the disk when its write cache is turned off", "error", err)
	}
	m.force.Store(want)
}
