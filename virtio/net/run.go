package net

import (
	"slices"
	"sync"
	"sync/atomic"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// run is the device between an Activate and a Reset.
type run struct {
	d        *Device
	features virtio.Features
	header   int // bytes
	irq      virtio.Interrupts

	queues  []*queue.Queue // that the driver has set up
	rx      []*receiver    // by pair, nil without a queue
	tx      []*transmitter // the same
	control *controller    // nil without

	// What the driver has commanded. Only the control queue's goroutine, and a
	// legacy driver's write to the configuration, change it.
	changing sync.Mutex
	filter   atomic.Pointer[filter]
	offloads atomic.Uint32 // hostnet.Offload: frames that it takes
	pairs    atomic.Int32  // in use

	broken   atomic.Bool // the driver has been told to reset; nothing starts any more
	stopping atomic.Bool
	serving  sync.WaitGroup // data queues
	commands sync.WaitGroup // the control queue

	kernel *kernel // nil without vhost
}

func newRun(d *Device, a virtio.Activation) *run {
	r := &run{d: d, features: a.Features, header: headerSize(a.Features), irq: a.Interrupts}
	r.pairs.Store(1)
	r.offloads.Store(uint32(guestOffloads(a.Features)))
	r.filter.Store(&filter{
		// Until it says otherwise, a driver gets everything: some never say.
		promiscuous: true,
		station:     d.mac.Load(),
		anyVLAN:     !a.Features.Has(FeatureCtrlVLAN),
	})
	pairs, control := d.pairs, 2*d.pairs
	if !a.Features.Has(FeatureMQ) {
		pairs, control = 1, 2
	}
	r.rx, r.tx = make([]*receiver, pairs), make([]*transmitter, pairs)
	for i := range pairs {
		if q := queueOf(a.Queues, 2*i); q != nil {
			r.rx[i] = newReceiver(r, i, q)
			r.queues = append(r.queues, q)
		}
		if q := queueOf(a.Queues, 2*i+1); q != nil {
			r.tx[i] = newTransmitter(r, i, q)
			r.queues = append(r.queues, q)
		}
	}
	if q := queueOf(a.Queues, control); q != nil && a.Features.Has(FeatureCtrlVQ) {
		r.control = &controller{run: r, queue: q}
		r.queues = append(r.queues, q)
	}
	if d.vhost != nil {
		r.kernel = newKernel(r, d.vhost)
	}
	return r
}

// queueOf returns an element of what may be shorter than a driver could have
// made it.
func queueOf(queues []*queue.Queue, i int) *queue.Queue {
	if i < len(queues) {
		return queues[i]
	}
	return nil
}

// complete is how many pairs, from the first on, have both queues.
func (r *run) complete() int {
	n := 0
	for n < len(r.rx) && r.rx[n] != nil && r.tx[n] != nil {
		n++
	}
	return n
}

// start begins to serve all queues, unless the device needs a reset.
func (r *run) start() error {
	if r.broken.Load() {
		return nil
	}
	for _, q := range r.queues {
		q.Resume()
	}
	if r.kernel != nil {
		if err := r.kernel.start(); err != nil {
			return err
		}
	} else {
		r.serveData()
	}
	if r.control != nil {
		r.commands.Go(func() { r.ends(queue.Serve(r.control.queue, r.control.handle)) })
	}
	return nil
}

// stop ends all serving. No chain is in flight afterwards.
func (r *run) stop() {
	if r.control != nil {
		r.control.queue.Pause()
		r.commands.Wait()
	}
	if r.kernel != nil {
		r.kernel.stop()
	} else {
		r.stopData()
	}
}

// ends takes the result of a goroutine that serves a queue.
func (r *run) ends(err error) {
	if err != nil {
		r.fail(err)
	}
}

// fail marks the device broken.
func (r *run) fail(why error) {
	r.broken.Store(true)
	r.irq.NeedsReset(why)
}

// serveData begins to serve the data queues here.
func (r *run) serveData() {
	r.stopping.Store(false)
	for i := range r.rx {
		w := &worker{run: r, host: r.d.backend.Queue(i), rx: r.rx[i], tx: r.tx[i]}
		if w.rx != nil {
			w.rx.queue.Resume()
		}
		if w.tx != nil {
			w.tx.queue.Resume()
		}
		if w.rx != nil || w.tx != nil {
			r.serving.Go(func() { r.ends(w.serve()) })
		}
	}
}

// stopData ends what serveData has begun.
func (r *run) stopData() {
	r.stopping.Store(true)
	for i := range r.rx {
		if rx := r.rx[i]; rx != nil {
			rx.queue.Pause()
		}
		if tx := r.tx[i]; tx != nil {
			tx.queue.Pause()
		}
	}
	r.wake()
	r.serving.Wait()
}

// wake makes the data queues' goroutines look at what has changed.
func (r *run) wake() {
	for i := range r.rx {
		r.d.backend.Queue(i).Wake()
	}
}

// linkChanged follows a change of the link.
func (r *run) linkChanged() {
	if r.features.Has(FeatureStatus) {
		r.irq.ConfigChanged()
	}
	if r.kernel != nil {
		r.kernel.follow()
		return
	}
	r.wake()
}

// changeFilter replaces the filter by one that f has changed.
func (r *run) changeFilter(f func(*filter)) {
	r.changing.Lock()
	defer r.changing.Unlock()
	next := *r.filter.Load()
	next.unicast, next.multicast = slices.Clone(next.unicast), slices.Clone(next.multicast)
	f(&next)
	r.filter.Store(&next)
	r.d.tellFilter(&next)
}

// takes reports whether the driver takes frames with a header from the host.
// The host may have kept one since before the driver said what it takes.
func (r *run) takes(h *hostnet.Header) bool {
	offloads := hostnet.Offload(r.offloads.Load())
	if h.Flags&hostnet.HeaderNeedsCsum != 0 && offloads&hostnet.Csum == 0 {
		return false
	}
	need := gsoOffload(h.GSOType)
	return offloads&need == need
}

// gsoOffload is the set of offloads that a gso_type needs, or one that nobody
// has when there is no such type.
func gsoOffload(gso uint8) hostnet.Offload {
	var o hostnet.Offload
	switch gso &^ hostnet.GSOECN {
	case hostnet.GSONone:
		if gso == hostnet.GSONone {
			return 0
		}
		return unknownGSO
	case hostnet.GSOTCPv4:
		o = hostnet.Csum | hostnet.TSO4
	case hostnet.GSOTCPv6:
		o = hostnet.Csum | hostnet.TSO6
	case hostnet.GSOUDP:
		o = hostnet.Csum | hostnet.UFO
	case hostnet.GSOUDPL4:
		o = hostnet.Csum | hostnet.USO4 | hostnet.USO6
	default:
		return unknownGSO
	}
	if gso&hostnet.GSOECN != 0 {
		o |= hostnet.TSOECN
	}
	return o
}

const unknownGSO hostnet.Offload = 1 << 31
