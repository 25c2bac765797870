package net

import (
	"fmt"
	"sync"
	"sync/atomic"

	hostnet "github.com/govmm/govmm/net"
)

// SetLink connects or disconnects the guest; at first it is connected. The
// driver is told, and the host end sees the other side of the link change. The
// error says what the host end could not do; for the guest the link has changed
// nevertheless. vhost may move a few more frames after the return.
func (d *Device) SetLink(up bool) error {
	if d.disconnected.Swap(!up) == !up {
		return nil
	}
	d.linkChanged()
	if err := d.backend.SetLink(up); err != nil {
		return fmt.Errorf("virtio net %s: %w", d.name, err)
	}
	return nil
}

// linkUp reports whether there is a link, for what the guest can see.
func (d *Device) linkUp() bool { return !d.disconnected.Load() && d.hostLink.up.Load() }

// hostLink is the host's side of the link as it was last, for the data path.
type hostLink struct {
	mu sync.Mutex // held to ask and to note the answer, so that the last one stays
	up atomic.Bool
}

func (l *hostLink) refresh(b hostnet.Backend) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up.Store(b.Link())
}

// linkChanged follows a change of the link. It does not block.
func (d *Device) linkChanged() {
	if r := d.active.Load(); r != nil {
		r.linkChanged()
	}
}

// Announce asks the driver to tell the network where it is now
// (VIRTIO_NET_F_GUEST_ANNOUNCE), after a migration for instance. It reports
// whether there is a driver that can do so.
func (d *Device) Announce() bool {
	r := d.active.Load()
	if r == nil || !r.features.Has(FeatureGuestAnnounce|FeatureCtrlVQ|FeatureStatus) {
		return false
	}
	d.announcing.Store(true)
	r.irq.ConfigChanged()
	return true
}
