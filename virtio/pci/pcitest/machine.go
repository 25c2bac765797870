// Package pcitest is the driver's side of virtio over PCI, for tests of the
// transport and of virtio devices: it puts a device on a PCI bus with guest
// memory around it, finds and programs it through its registers as a modern or
// a legacy driver does, and gives an honest driver for each of its queues.
//
//	m := pcitest.New(t, pcitest.Options{Device: device})
//	m.Start(virtio.FeatureEventIndex)
//	written := m.Queues[0].Do(m.Queues[0].Writable(64))
package pcitest

import (
	"encoding/binary"
	"log/slog"
	"sync"
	"testing"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	virtiopci "github.com/govmm/govmm/virtio/pci"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// Options says what to test, and how.
type Options struct {
	Device virtio.Device
	Legacy bool // drive the legacy interface
	INTx   bool // do not enable MSI-X
	// QueueSize is the size that a modern driver chooses, if the device allows
	// it; 0 is the greatest.
	QueueSize uint16
	// Room is the memory for the buffers of each queue in bytes; 0 is 1 MiB.
	Room uint64
	// Memory is the guest's; nil makes 64 MiB, from MemoryBase on to be used for
	// queues.
	Memory *memory.Memory

	MSIXVectors int // as virtiopci.Options
	Vectors     irq.Vectors
	IOEvents    virtiopci.IOEvents
	Withhold    virtio.Features
	Log         *slog.Logger // nil writes to the test's log
}

// Where the test's guest puts things.
const (
	MemoryBase = 1 << 20 // the first queue
	Slot       = 3       // the function

	legacyBase = 0xC000
	msixBase   = 0xFEB00000
	modernBase = 0xFE000000
	intxIRQ    = 11
)

// Machine is a PCI bus with the function on it, and its driver. The driver is
// for one goroutine.
type Machine struct {
	Function *virtiopci.Function
	Memory   *memory.Memory
	Bus      *pci.Bus
	// Ports and Device are where the BARs are mapped.
	Ports, Device *bus.Bus
	Features      virtio.Features // negotiated by Start
	Queues        []*Queue        // set up by Start
	// ConfigChanged is raised by the configuration interrupt.
	ConfigChanged queuetest.Line

	tb   testing.TB
	o    Options
	intx chan struct{}

	mu      sync.Mutex // guards what the interrupts look at
	vectors map[uint16][]queuetest.Line
	regions regions // which the driver alone changes
}

// New puts the device on a bus and its BARs in place. It is taken apart when
// the test ends. Whatever goes wrong fails the test.
func New(tb testing.TB, o Options) *Machine {
	tb.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	m := &Machine{
		tb: tb, o: o, Memory: o.Memory, ConfigChanged: queuetest.NewLine(),
		Ports: bus.New("ports", 0x10000), Device: bus.New("memory", 1<<40),
		intx: make(chan struct{}, 1), vectors: map[uint16][]queuetest.Line{},
	}
	if m.Memory == nil {
		mem, err := memory.New(memory.Config{Size: 64 << 20})
		m.must(err)
		m.Memory = mem
		tb.Cleanup(func() { m.must(mem.Close()) })
	}
	f, err := virtiopci.New(virtiopci.Options{
		Name: "test", Device: o.Device, Memory: m.Memory, MSI: msi{m}, Vectors: o.Vectors, IOEvents: o.IOEvents,
		MSIXVectors: o.MSIXVectors, Withhold: o.Withhold, Log: o.Log,
	})
	m.must(err)
	m.Function = f
	m.addInterrupt()
	m.must(m.Ports.Add(pci.ConfigPort, pci.ConfigPorts, "pci", pci.NewMechanism(m.Bus, nil)))
	m.must(m.Bus.Add(f, Slot, 0))
	m.Bus.Reset()
	tb.Cleanup(func() { m.must(f.Close()) })
	m.Place()
	return m
}

// addInterrupt wires INTA# to a handler, which lets go of the pin by reading the
// ISR status.
func (m *Machine) addInterrupt() {
	var lines [16]irq.Line
	lines[intxIRQ] = irq.LineFunc(func(asserted bool) {
		if asserted {
			select {
			case m.intx <- struct{}{}:
			default:
			}
		}
	})
	router := pci.NewRouter(lines)
	for pirq := range 4 {
		router.SetRoute(pirq, intxIRQ)
	}
	m.Bus = pci.NewBus(pci.Options{Ports: m.Ports, Memory: m.Device, Router: router, Log: m.o.Log})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-m.intx:
				m.handleINTx()
			case <-stop:
				return
			}
		}
	}()
	m.tb.Cleanup(func() { close(stop); <-done })
}

func (m *Machine) handleINTx() {
	isr := m.ISR()
	m.mu.Lock()
	defer m.mu.Unlock()
	if isr&1 != 0 {
		for _, q := range m.Queues {
			q.Line().Interrupt()
		}
	}
	if isr&2 != 0 {
		m.ConfigChanged.Interrupt()
	}
}

// msi takes the messages. Their data is the number of the vector.
type msi struct{ m *Machine }

func (s msi) Send(_ uint64, data uint32) bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for _, line := range s.m.vectors[uint16(data)] {
		line.Interrupt()
	}
	return true
}

// Place puts the BARs where the test's guest wants them, as firmware does.
func (m *Machine) Place() {
	m.WriteConfig(pci.RegBAR0, 4, legacyBase)
	m.WriteConfig(pci.RegBAR0+4, 4, msixBase)
	m.WriteConfig(pci.RegBAR0+16, 4, modernBase)
	m.WriteConfig(pci.RegBAR0+20, 4, 0)
	m.WriteConfig(pci.RegCommand, 2, pci.CommandIO|pci.CommandMemory|pci.CommandBusMaster)
	m.findRegions()
}

func (m *Machine) selectConfig(reg uint8) uint64 {
	m.Out(pci.ConfigPort, 4, 1<<31|Slot<<11|uint32(reg)&0xFC)
	return pci.ConfigPort + 4 + uint64(reg&3)
}

// ReadConfig reads size bytes of the function's configuration space.
func (m *Machine) ReadConfig(reg uint8, size int) uint32 { return m.In(m.selectConfig(reg), size) }

// WriteConfig writes to the function's configuration space.
func (m *Machine) WriteConfig(reg uint8, size int, v uint32) { m.Out(m.selectConfig(reg), size, v) }

// In reads size bytes from ports.
func (m *Machine) In(port uint64, size int) uint32 {
	var data [4]byte
	m.Ports.Read(port, data[:size])
	return binary.LittleEndian.Uint32(data[:])
}

// Out writes size bytes to ports.
func (m *Machine) Out(port uint64, size int, v uint32) {
	var data [4]byte
	binary.LittleEndian.PutUint32(data[:], v)
	m.Ports.Write(port, data[:size])
}

// Load reads size bytes from device memory.
func (m *Machine) Load(addr uint64, size int) uint64 {
	var data [8]byte
	m.Device.Read(addr, data[:size])
	return binary.LittleEndian.Uint64(data[:])
}

// Store writes size bytes to device memory.
func (m *Machine) Store(addr uint64, size int, v uint64) {
	var data [8]byte
	binary.LittleEndian.PutUint64(data[:], v)
	m.Device.Write(addr, data[:size])
}

func (m *Machine) must(err error) {
	if err != nil {
		m.tb.Helper()
		m.tb.Fatalf("pcitest: %v", err)
	}
}
