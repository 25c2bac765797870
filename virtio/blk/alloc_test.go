package blk

import (
	"testing"

	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestNoAllocation serves batches of all kinds of request. After some the next
// one must find all that it needs.
func TestNoAllocation(t *testing.T) {
	for name, ring := range rings {
		t.Run(name, func(t *testing.T) {
			ring.Size = 256
			r := newRig(t, setup{
				Options: Options{Backend: null{blocktest.NewMemory(nil, false), 1 << 30}},
				ring:    ring, idle: true,
			})
			r.device.Pause()
			r.activate(r.device.Features())
			q := r.device.active[0]
			q.queue.Resume() // the queue, not its goroutine
			add := func(kind uint32, sector uint64, data []byte, n int) {
				bufs := []queuetest.Buffer{r.Readable(header(kind, sector))}
				if data != nil {
					bufs = append(bufs, r.Readable(data))
				}
				r.Add(append(bufs, r.Writable(uint32(n+1)))...)
			}
			prepare := func() {
				for i := range uint64(batch) {
					switch i % 8 {
					case 5:
						add(typeFlush, 0, nil, 0)
					case 6:
						add(typeDiscard, 0, append(segment(1, 1, 0), segment(3, 1, 0)...), 0)
					case 7:
						add(typeGetID, 0, nil, 20)
					case 3, 4:
						add(typeOut, i, make([]byte, 512), 0) // merged
					default:
						add(typeIn, i, nil, 512)
					}
				}
				r.Publish()
			}
			serve := func() {
				n, err := q.take(batch)
				q.kick()
				if err != nil || n != batch {
					t.Errorf("%d requests, %v", n, err)
				}
			}
			// Chains and requests are used again in another order each time.
			for range 20 {
				prepare()
				serve()
				for range batch {
					r.Wait()
				}
			}
			prepare()
			prepare()
			if n := testing.AllocsPerRun(1, serve); n != 0 {
				t.Errorf("%v allocations in a batch", n)
			}
			if s := r.device.Stats(); s.Merged == 0 || s.Discard.Requests == 0 {
				t.Errorf("statistics %+v", s)
			}
		})
	}
}
