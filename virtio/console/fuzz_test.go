package console

import (
	"testing"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// FuzzDevice gives the device control messages, descriptors and configuration
// writes that may be anything.
func FuzzDevice(f *testing.F) {
	ready := string(message(0, eventDeviceReady, 1)) + string(message(1, eventPortReady, 1)) + string(message(1, eventPortOpen, 1))
	f.Add([]byte(ready), []byte{}, uint8(controlReceive), []byte("emergency"), byte(0))
	f.Add([]byte(ready), []byte{0, 16, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0}, uint8(4), []byte{}, byte(3))
	f.Add(message(1<<31, 99, 0), []byte{1}, uint8(5), []byte{}, byte(6))
	f.Add([]byte{}, []byte{}, uint8(1), []byte("12345678x"), byte(16))
	f.Fuzz(func(t *testing.T, control, descriptors []byte, hostile uint8, config []byte, form byte) {
		mem := newMemory(t, 128<<10)
		h := &sinkhole{}
		d, err := New(Options{MaxPorts: 2, Ports: []Port{{ID: 0, Console: true}, {ID: 1, Name: "name", Backend: h}}})
		if err != nil {
			t.Fatal(err)
		}
		bell, err := queue.NewDoorbell()
		if err != nil {
			t.Fatal(err)
		}
		bell.Close() // the goroutines handle what there is, and end
		queues := make([]*queue.Queue, len(d.QueueSizes()))
		for i := range queues {
			o := queuetest.Options{
				Index: i, Size: 16, Base: uint64(i) * (16 << 10), Room: 8 << 10,
				Packed: form&1 != 0, EventIndex: form&2 != 0, InOrder: form&4 != 0,
			}
			q := queuetest.New(t, mem, o)
			switch i {
			case controlTransmit:
				for rest := control; len(rest) > 0; {
					n := min(len(rest), messageSize)
					b := q.Readable(rest[:n])
					q.Alloc(-b.Len & 7)
					if _, ok := q.TryAdd(false, b); !ok {
						break
					}
					rest = rest[n:]
				}
			case controlReceive, 0, 4:
				for range 16 {
					q.Add(q.Writable(64))
				}
			default:
				for range 16 {
					q.Add(q.Readable([]byte("output of 16 B. ")))
				}
			}
			q.Publish()
			c := q.Config()
			if i == int(hostile) {
				_ = mem.WriteAt(descriptors[:min(len(descriptors), 16*16)], c.Desc)
				c.Indirect = form&8 != 0
			}
			if queues[i], err = c.Start(mem, bell, q.Line()); err != nil {
				t.Fatal(err)
			}
		}
		features := multiport
		if form&16 != 0 {
			features = virtio.Features(0)
		}
		irq := &guest{}
		if err := d.Activate(virtio.Activation{Features: features, Queues: queues, Interrupts: irq}); err != nil {
			t.Fatal(err)
		}
		d.run.goroutines.Wait()
		p := d.ports[1]
		p.Receive([]byte("input that is longer than one of the buffers, which have 64 bytes only"))
		p.Carrier(true)
		p.Carrier(false)
		p.OutputReady()
		for i := range config {
			d.WriteConfig(uint64(config[i]), config[i:])
			d.ReadConfig(uint64(config[i]), make([]byte, i%20))
		}
		if err := d.Resize(0, 1, 2); err != nil {
			t.Fatal(err)
		}
		if err := d.RemovePort(1); err != nil {
			t.Fatal(err)
		}
		d.Reset()
	})
}

// sinkhole is a back end without a goroutine.
type sinkhole struct{ host }

func (s *sinkhole) Write(p []byte) int { return len(p) }
func (s *sinkhole) Ready()             {}
