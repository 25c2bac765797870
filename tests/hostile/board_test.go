package hostile

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/balloon"
	"github.com/govmm/govmm/virtio/blk"
	"github.com/govmm/govmm/virtio/console"
	virtionet "github.com/govmm/govmm/virtio/net"
	virtiopci "github.com/govmm/govmm/virtio/pci"
	"github.com/govmm/govmm/virtio/rng"
)

// The guest-physical memory of the board. There is a page more than 4 GiB of
// RAM, so that it is in two parts and does not end with a huge page: in the
// host, high RAM follows low RAM at once, and inaccessible pages follow high RAM.
const (
	ramSize = 4<<30 + memory.PageSize
	lowEnd  = 3 << 30 // low RAM ends, and a ROM begins
	highEnd = memory.HighStart + ramSize - lowEnd

	romBase   = lowEnd
	videoBase = 0xD0000000 // memory of a device
	holeBase  = 0xE8000000 // nothing is there
	beyond    = 1 << 40    // nor here

	queuesBase  = 16 << 20 // of the first card
	cardStride  = 16 << 20
	queueStride = 1 << 20
	queueRoom   = queueStride / 2 // for buffers
	scratchBase = 256 << 20       // the attacker's own memory
	givenBase   = 512 << 20       // pages for the balloon
)

// kind is one of the devices.
type kind int

const (
	disk kind = iota
	nic
	serial
	balloonDevice
	entropy
	kinds
)

func (k kind) String() string {
	return [...]string{"blk", "net", "console", "balloon", "rng"}[k]
}

// dataQueue is the queue of each device on which the driver sends requests.
func (k kind) dataQueue() int { return [...]int{0, 1, 1, 0, 0}[k] }

const (
	diskSize = 1 << 20
	netPairs = 2
)

// patience is how long anything may take. It is far more than it should, for
// hosts with much else to do.
const patience = 20 * time.Second

// board is a machine: memory, a PCI bus, five devices, and their host ends.
type board struct {
	testing.TB
	mem         *memory.Memory
	ports, mmio *bus.Bus
	pci         *pci.Bus
	cards       [kinds]*card
	step        string // what is being done

	diskData *blocktest.Memory
	faulty   *blocktest.Faulty
	peer     *hostnet.Pair // at the other end of the NIC's wire
	terminal *terminal     // of console port 0
	marker   int           // of the latest request

	messages sync.Mutex // guards the cards' lines
}

func newBoard(t testing.TB) *board {
	t.Helper()
	b := &board{TB: t, ports: bus.New("ports", 1<<16), mmio: bus.New("memory", 1<<40)}
	mem, err := memory.New(memory.Config{Size: ramSize})
	b.must(err)
	t.Cleanup(func() { b.must(mem.Close()) })
	b.mem = mem
	_, err = mem.Add("firmware", memory.ROM, romBase, memory.PageSize)
	b.must(err)
	_, err = mem.Add("video memory", memory.RAM, videoBase, memory.PageSize)
	b.must(err)

	router := pci.NewRouter([16]irq.Line{11: irq.None{}})
	for pirq := range 4 {
		router.SetRoute(pirq, 11)
	}
	b.pci = pci.NewBus(pci.Options{Ports: b.ports, Memory: b.mmio, Router: router})
	b.must(b.ports.Add(pci.ConfigPort, pci.ConfigPorts, "pci", pci.NewMechanism(b.pci, nil)))
	for k, dev := range []virtio.Device{b.newDisk(), b.newNIC(), b.newConsole(), b.newBalloon(), b.newEntropy()} {
		b.addCard(kind(k), dev)
	}
	b.pci.Reset()
	for _, c := range b.cards {
		c.place()
	}
	b.setCanaries()
	return b
}

func (b *board) newDisk() virtio.Device {
	b.diskData = blocktest.NewMemory(make([]byte, diskSize), false)
	b.faulty = blocktest.NewFaulty(b.diskData)
	b.Cleanup(func() { b.must(b.faulty.Close()) })
	d, err := blk.New(blk.Options{Backend: b.faulty, Serial: "hostile", Queues: 2, Packed: true, ErrorPolicy: block.PolicyReport, Log: b.log("blk")})
	b.must(err)
	b.Cleanup(d.Close)
	return d
}

// allOffloads makes the wire one that takes everything, so that the device has
// to judge what the driver asks of it.
type allOffloads struct{ *hostnet.Pair }

func (allOffloads) Offloads() hostnet.Offload {
	return hostnet.Csum | hostnet.TSO4 | hostnet.TSO6 | hostnet.TSOECN | hostnet.UFO | hostnet.USO4 | hostnet.USO6
}
func (allOffloads) SetOffloads(hostnet.Offload) error { return nil }

func (b *board) newNIC() virtio.Device {
	host, peer, err := hostnet.NewPair(hostnet.PairOptions{Queues: netPairs})
	b.must(err)
	b.peer = peer
	b.Cleanup(func() {
		b.must(host.Close())
		b.must(peer.Close())
	})
	d, err := virtionet.New(virtionet.Options{
		Name: "net", MAC: [6]byte{0x52, 0x54, 0, 1, 2, 3}, QueuePairs: netPairs, Packed: true,
		Backend: allOffloads{host}, Clock: new(clock.Fake), Log: b.log("net"),
	})
	b.must(err)
	b.Cleanup(d.Close)
	return d
}

func (b *board) newConsole() virtio.Device {
	b.terminal = newTerminal(b)
	d, err := console.New(console.Options{
		Name: "console", MaxPorts: 4, Log: b.log("console"),
		Ports: []console.Port{{ID: 0, Console: true, Backend: b.terminal}, {ID: 1, Name: "channel"}},
	})
	b.must(err)
	return d
}

func (b *board) newBalloon() virtio.Device {
	d, err := balloon.New(balloon.Options{
		Name: "balloon", Memory: b.mem, Clock: new(clock.Fake), FreePageReporting: true, Log: b.log("balloon"),
	})
	b.must(err)
	return d
}

func (b *board) newEntropy() virtio.Device {
	d, err := rng.New(rng.Options{Name: "rng", Log: b.log("rng")})
	b.must(err)
	return d
}

func (b *board) log(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Discard, nil)).With("device", name)
}

func (b *board) addCard(k kind, dev virtio.Device) {
	c := &card{board: b, kind: k, slot: 3 + int(k)}
	f, err := virtiopci.New(virtiopci.Options{
		Name: k.String(), Device: dev, Memory: b.mem, MSI: (*sink)(b), Log: b.log(k.String()),
	})
	b.must(err)
	b.Cleanup(func() { b.must(f.Close()) })
	c.fn = f
	b.must(b.pci.Add(f, c.slot, 0))
	b.cards[k] = c
}

// sink takes the messages of MSI-X. Their data names card and vector, unless
// the guest has made it something else.
type sink board

func (s *sink) Send(addr uint64, data uint32) bool {
	s.messages.Lock()
	defer s.messages.Unlock()
	k, vector := data>>16, int(data&0xFFFF)
	if addr != messageAddress || k >= uint32(kinds) {
		return false
	}
	if lines := s.cards[k].lines; vector > 0 && vector <= len(lines) {
		lines[vector-1].Interrupt()
	}
	return true
}

// within does a step of the guest, or of the test, which must end.
func (b *board) within(step string, do func()) {
	b.Helper()
	b.step = step
	name := b.Name()
	late := time.AfterFunc(2*patience, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("%s: still busy with: %s", name, step))
	})
	defer late.Stop()
	do()
}

// eventually waits until a condition holds.
func (b *board) eventually(what string, cond func() bool) {
	b.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			b.Fatalf("%s: waited %v for: %s", b.step, patience, what)
		}
	}
}

func (b *board) must(err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// bystanders are the cards that are not attacked.
func (b *board) bystanders(victim *card) (list []*card) {
	for _, c := range b.cards {
		if c != victim {
			list = append(list, c)
		}
	}
	return list
}

// A canary is a page that no device was told to write to.
var canary = bytes.Repeat([]byte{0xC5, 0x5A}, memory.PageSize/2)

// canaryPages are where they are: outside of RAM, at its edges, and between the
// queues.
func canaryPages() (outside, inside []uint64) {
	outside = []uint64{romBase, videoBase}
	inside = []uint64{
		lowEnd - memory.PageSize, memory.HighStart, highEnd - memory.PageSize, queuesBase - memory.PageSize,
	}
	for k := range uint64(kinds) {
		for q := range uint64(4) {
			inside = append(inside, queuesBase+k*cardStride+(q+1)*queueStride-memory.PageSize)
		}
	}
	return outside, inside
}

func (b *board) setCanaries() {
	outside, inside := canaryPages()
	for _, gpa := range append(outside, inside...) {
		copy(b.page(gpa), canary)
	}
}

// checkCanaries fails when one has changed. A guest that gives away its RAM
// loses those in there.
func (b *board) checkCanaries(lost bool) {
	b.Helper()
	outside, inside := canaryPages()
	if lost {
		inside = nil
	}
	for _, gpa := range append(outside, inside...) {
		if !bytes.Equal(b.page(gpa), canary) {
			b.Fatalf("%s: the page at %#x was written to", b.step, gpa)
		}
	}
}

// page is a page of any region, in the host.
func (b *board) page(gpa uint64) []byte {
	for _, r := range b.mem.Regions() {
		if gpa-r.GPA < r.Size {
			return r.Host[gpa-r.GPA:][:memory.PageSize]
		}
	}
	b.Fatalf("there is no memory at %#x", gpa)
	return nil
}

// diskContent reads the disk past the device.
func (b *board) diskContent(off int64, n int) []byte {
	p := make([]byte, n)
	b.must(block.ReadAt(b.diskData, p, off))
	return p
}
