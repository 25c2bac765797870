package pci_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/virtio"
	virtiopci "github.com/govmm/govmm/virtio/pci"
	"github.com/govmm/govmm/virtio/pci/pcitest"
)

// interrupters collects the queues' interrupts from an activation.
type interrupters []interface{ Interrupt() }

func (in *interrupters) collect(a virtio.Activation) error {
	for i, q := range a.Queues {
		*in = append(*in, q.Interrupter())
		a.Queues[i] = nil // the device serves none
	}
	return nil
}

const msixControl = 0x98 + 2

// TestISR looks at the pin and the ISR status with the handler of the test's
// driver out of the way: it is not on the bus.
func TestISR(t *testing.T) {
	var in interrupters
	d := newEcho(8)
	d.activated = in.collect
	m := pcitest.New(t, pcitest.Options{Device: d})
	m.Start(0)
	isr := func(want uint8, pin bool) {
		t.Helper()
		if s := m.Function.Signals().ISR; s != want {
			t.Errorf("ISR status %#x, want %#x", s, want)
		}
		if asserted := m.ReadConfig(6, 2)&8 != 0; asserted != pin {
			t.Errorf("pin %v, want %v", asserted, pin)
		}
	}
	isr(0, false)
	in[0].Interrupt()
	isr(1, false) // MSI-X is enabled
	d.activation.Interrupts.ConfigChanged()
	isr(3, false)
	if v := m.ISR(); v != 3 || m.ISR() != 0 {
		t.Errorf("ISR status reads %#x", v)
	}
	m.WriteConfig(4, 2, 0x407) // the pin cannot reach the handler
	m.WriteConfig(msixControl, 2, 0)
	isr(0, false)
	in[0].Interrupt()
	isr(1, true)
	d.activation.Interrupts.ConfigChanged()
	isr(3, true)
	m.WriteConfig(msixControl, 2, 0x8000)
	isr(3, false)
	m.WriteConfig(msixControl, 2, 0)
	isr(3, true)
	if v := m.In(0xC013, 1); v != 3 { // the legacy one is the same
		t.Errorf("ISR status reads %#x", v)
	}
	isr(0, false)
	in[0].Interrupt()
	m.Reset()
	isr(0, false)
	d.activation.Interrupts.ConfigChanged() // before DRIVER_OK
	isr(0, false)
	d.activation.Interrupts.NeedsReset(errors.New("test"))
	isr(0, false)
	if s := m.Status(); s != pcitest.NeedsReset {
		t.Errorf("status %#x", s)
	}
}

// TestResetForgetsPending has a masked vector's message outlive nothing.
func TestResetForgetsPending(t *testing.T) {
	var in interrupters
	d := newEcho(8)
	d.activated = in.collect
	m := pcitest.New(t, pcitest.Options{Device: d})
	m.Start(0)
	m.WriteConfig(msixControl, 2, 0xC000)
	in[0].Interrupt()
	if v := m.Load(0xFEB00800, 8); v != 2 {
		t.Errorf("pending bits %#x", v)
	}
	m.Reset()
	if v := m.Load(0xFEB00800, 8); v != 0 {
		t.Errorf("pending bits %#x after a reset", v)
	}
}

// events notes the bindings of doorbells.
type events struct {
	refuse error
	bound  []virtiopci.IOEvent
}

func (e *events) BindIOEvent(v virtiopci.IOEvent) error {
	if e.refuse == nil {
		e.bound = append(e.bound, v)
	}
	return e.refuse
}

func (e *events) UnbindIOEvent(v virtiopci.IOEvent) error {
	i := slices.Index(e.bound, v)
	if i < 0 {
		return errors.New("it is not bound")
	}
	e.bound = slices.Delete(e.bound, i, i+1)
	return nil
}

func (e *events) want(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, v := range e.bound {
		if v.FD < 0 {
			t.Errorf("descriptor %d", v.FD)
		}
		v.FD = 0
		got = append(got, fmt.Sprintf("%v", v))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("bound %q, want %q", got, want)
	}
}

func TestIOEvents(t *testing.T) {
	e := &events{}
	m := pcitest.New(t, pcitest.Options{Device: ringEcho{newEcho(8, 8)}, IOEvents: e})
	m.Negotiate(virtio.FeatureRingReset)
	m.SetUpQueues()
	e.want(t)
	m.SetStatus(pcitest.DriverOK)
	e.want(t, "{false 4261425152 0 false 0 0}", "{false 4261425156 0 false 0 0}") // 0xFE003000
	m.WriteConfig(0x20, 4, 0xFD000000)
	e.want(t, "{false 4244647936 0 false 0 0}", "{false 4244647940 0 false 0 0}")
	m.WriteConfig(0x04, 2, 1)
	e.want(t)
	m.Place()
	m.ResetQueue(0)
	e.want(t, "{false 4261425156 0 false 0 0}")
	m.RestartQueue(1)
	e.want(t, "{false 4261425156 0 false 0 0}")
	exchange(t, m.Queues[1], "by way of the handler")
	m.Reset()
	e.want(t)
	e.refuse = errors.New("no room")
	m.Start(0)
	e.want(t)
	exchange(t, m.Queues[0], "unbound")
	e.refuse = nil
	m.Place()
	m.Bus.Reset()
	e.want(t)
}

func TestLegacyIOEvents(t *testing.T) {
	e := &events{}
	m := pcitest.New(t, pcitest.Options{Device: newEcho(8, 8), IOEvents: e, Legacy: true})
	m.Start(0)
	e.want(t, "{true 49168 2 true 0 0}", "{true 49168 2 true 1 0}") // 0xC010
	m.WriteConfig(0x10, 4, 0xD000)
	e.want(t, "{true 53264 2 true 0 0}", "{true 53264 2 true 1 0}")
	if err := m.Bus.Remove(pcitest.Slot, 0); err != nil {
		t.Fatal(err)
	}
	e.want(t)
}

// kernelVector is an irq.Vector whose messages go to MSI, as irqfd's do.
type kernelVector struct {
	fd      int
	signals chan struct{}
	closed  chan struct{}

	mu     sync.Mutex
	routed string
}

func (v *kernelVector) FD() int { return v.fd }

func (v *kernelVector) set(s string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.routed = s
	return nil
}

func (v *kernelVector) Route(addr uint64, data uint32) error {
	return v.set(fmt.Sprintf("%x=%x", addr, data))
}
func (v *kernelVector) Mask() error  { return v.set("") }
func (v *kernelVector) Close() error { close(v.closed); return nil }

func (v *kernelVector) Wait() error {
	select {
	case <-v.signals:
		return nil
	case <-v.closed:
		return os.ErrClosed
	}
}

func (v *kernelVector) want(t *testing.T, want string) {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.routed != want {
		t.Errorf("route %q, want %q", v.routed, want)
	}
}

type kernelVectors struct{ made []*kernelVector }

func (k *kernelVectors) NewVector() (irq.Vector, error) {
	v := &kernelVector{fd: 100 + len(k.made), signals: make(chan struct{}), closed: make(chan struct{})}
	k.made = append(k.made, v)
	return v, nil
}

// TestCallFD is a device in the kernel.
func TestCallFD(t *testing.T) {
	k := &kernelVectors{}
	d := newEcho(8, 8)
	var fds []int
	d.activated = func(a virtio.Activation) error {
		fds = nil
		for i := range 2 * len(a.Queues) { // asking twice gives the same
			fd, err := a.Queues[i/2].Interrupter().(interface{ CallFD() (int, error) }).CallFD()
			if err != nil {
				return err
			}
			fds = append(fds, fd)
		}
		clear(a.Queues)
		return nil
	}
	m := pcitest.New(t, pcitest.Options{Device: d, Vectors: k})
	m.Start(0)
	if fmt.Sprint(fds) != "[100 100 101 101]" {
		t.Errorf("descriptors %v", fds)
	}
	v := k.made[1]
	v.want(t, "fee00000=2")
	m.SelectQueue(1)
	m.Store(m.CommonAddress(0x1A), 2, 1)
	v.want(t, "fee00000=1")
	m.Store(m.CommonAddress(0x1A), 2, 0xFFFF)
	v.want(t, "")
	m.Store(m.CommonAddress(0x1A), 2, 2)
	m.WriteConfig(msixControl, 2, 0xC000)
	v.want(t, "")
	v.signals <- struct{}{} // while it is masked
	v.signals <- struct{}{} // the first one was dealt with
	m.WriteConfig(msixControl, 2, 0x8000)
	<-m.Queues[1].Line()
	v.want(t, "fee00000=2")
	m.WriteConfig(msixControl, 2, 0) // INTx
	v.want(t, "")
	v.signals <- struct{}{}
	<-m.Queues[1].Line()
	m.Reset()
	for _, v := range k.made {
		<-v.closed
	}
}

func TestCallFDWithoutVectors(t *testing.T) {
	var got error
	d := newEcho(8)
	d.activated = func(a virtio.Activation) error {
		_, got = a.Queues[0].Interrupter().(interface{ CallFD() (int, error) }).CallFD()
		return nil
	}
	pcitest.New(t, pcitest.Options{Device: d}).Start(0)
	if got == nil || !strings.Contains(got.Error(), "no interrupts for devices in the kernel") {
		t.Error(got)
	}
}
