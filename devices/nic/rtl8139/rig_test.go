package rtl8139

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
)

const patience = 20 * time.Second

// Where the rig has its rings and buffers.
const (
	ramSize  = 16 << 20
	txRing   = 0x10000
	rxRing   = 0x20000
	txData   = 0x100000
	rxData   = 0x200000
	ringSize = 8 // descriptors
	mmioBase = 0xFEB00000
	portBase = 0xC000
)

var mac = [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// rig is a card on a bus, driven as by a driver, whose other end is ours.
type rig struct {
	tb    testing.TB
	ram   *memory.Memory
	mmio  *bus.Bus
	ports *bus.Bus
	clock *clock.Fake
	card  *Card
	peer  *hostnet.Pair
	next  uint32 // transmit descriptor
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newRig(tb testing.TB) *rig {
	tb.Helper()
	ram, err := memory.New(memory.Config{Size: ramSize})
	must(tb, err)
	a, b, err := hostnet.NewPair(hostnet.PairOptions{})
	must(tb, err)
	r := &rig{
		tb: tb, ram: ram, peer: b, clock: new(clock.Fake),
		mmio: bus.New("memory", 1<<32), ports: bus.New("ports", 1<<16),
	}
	r.card, err = New(Options{Name: "net0", MAC: mac, Backend: a, Memory: ram, Clock: r.clock})
	must(tb, err)
	tb.Cleanup(func() {
		must(tb, r.card.Close())
		must(tb, errors.Join(a.Close(), b.Close(), ram.Close()))
	})
	router := pci.NewRouter([16]irq.Line{})
	p := pci.NewBus(pci.Options{Ports: r.ports, Memory: r.mmio, Router: router, Firmware: true})
	must(tb, p.Add(r.card, 3, 0))
	put := func(reg uint8, v uint32) {
		r.card.WriteConfig(reg, binary.LittleEndian.AppendUint32(nil, v))
	}
	put(pci.RegBAR0, portBase)
	put(pci.RegBAR0+4, mmioBase)
	put(pci.RegCommand, pci.CommandIO|pci.CommandMemory|pci.CommandBusMaster)
	return r
}

func (r *rig) read(reg uint64, size int) uint32 {
	var b [4]byte
	r.mmio.Read(mmioBase+reg, b[:size])
	return binary.LittleEndian.Uint32(b[:])
}

func (r *rig) write(reg uint64, size int, v uint32) {
	r.mmio.Write(mmioBase+reg, binary.LittleEndian.AppendUint32(nil, v)[:size])
}

// inRing sets C mode up, as 8139too does.
func (r *rig) inRing(rcr uint32) {
	r.write(regCR, 1, crRST)
	r.write(regRBSTART, 4, rxRing)
	r.write(regCR, 1, crRE|crTE)
	r.write(regRCR, 4, rcr)
	r.next = 0
}

// transmit sends by the next descriptor of C mode.
func (r *rig) transmit(frame []byte) (descriptor uint64) {
	r.tb.Helper()
	descriptor = uint64(r.next % descriptors)
	r.next++
	must(r.tb, r.ram.WriteAt(frame, txData+descriptor*0x4000))
	r.write(regTSAD+4*descriptor, 4, uint32(txData+descriptor*0x4000))
	r.write(regTSD+4*descriptor, 4, uint32(len(frame)))
	return descriptor
}

// inPlus sets C+ mode up, as 8139cp does. The receive ring has ringSize
// descriptors of so many bytes.
func (r *rig) inPlus(cpcr, rcr, size uint32) {
	r.write(regCR, 1, crRST)
	r.write(regCPCR, 2, cpTx|cpRx|cpcr)
	r.write(regTSAD, 4, txRing)
	r.write(regTSAD+4, 4, 0)
	r.write(regRDSAR, 4, rxRing)
	r.write(regRDSAR+4, 4, 0)
	for i := range uint32(ringSize) {
		r.give(i, size)
	}
	must(r.tb, r.ram.Zero(txRing, ringSize*descriptorSize))
	r.write(regCR, 1, crRE|crTE)
	r.write(regRCR, 4, rcr)
	r.next = 0
}

// give makes a receive descriptor of C+ mode the card's.
func (r *rig) give(i, size uint32) {
	r.tb.Helper()
	at := rxRing + uint64(i)*descriptorSize
	must(r.tb, r.ram.Store64(at+8, rxData+uint64(i)*0x4000))
	must(r.tb, r.ram.AtomicStore32(at, plusOWN|size|end(i)))
}

// end is EOR for the last descriptor of a ring.
func end(i uint32) uint32 {
	if i == ringSize-1 {
		return plusEOR
	}
	return 0
}

// descriptor appends one to the transmit ring of C+ mode.
func (r *rig) descriptor(first, second uint32, address uint64) {
	r.tb.Helper()
	i := r.next % ringSize
	r.next++
	at := txRing + uint64(i)*descriptorSize
	must(r.tb, r.ram.Store32(at+4, second))
	must(r.tb, r.ram.Store64(at+8, address))
	must(r.tb, r.ram.AtomicStore32(at, first|plusOWN|end(i)))
}

// poll is the doorbell of C+ mode.
func (r *rig) poll() { r.write(regTPPoll, 1, pollNormal) }

// received waits for a frame at the other end.
func (r *rig) received() []byte {
	r.tb.Helper()
	buf := make([]byte, hostnet.HeaderSize+hostnet.MaxFrame)
	for {
		n, _, err := r.peer.Queue(0).Receive([][]byte{buf})
		if err == nil {
			return buf[hostnet.HeaderSize:n]
		}
		if !errors.Is(err, hostnet.ErrAgain) {
			r.tb.Fatal(err)
		}
		if _, err := r.peer.Queue(0).Wait(hostnet.ToReceive, nil); err != nil {
			r.tb.Fatal(err)
		}
	}
}

// send gives a frame to the card.
func (r *rig) send(frame []byte) {
	r.tb.Helper()
	must(r.tb, r.peer.Queue(0).Send([][]byte{make([]byte, hostnet.HeaderSize), frame}))
}

// await waits until a condition holds.
func (r *rig) await(what string, f func() bool) {
	r.tb.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			r.tb.Fatalf("%s does not come", what)
		}
		runtime.Gosched()
	}
}

// asserted is the interrupt pin, as the PCI status register shows it.
func (r *rig) asserted() bool {
	var status [2]byte
	r.card.ReadConfig(pci.RegStatus, status[:])
	return status[0]&8 != 0
}

// given is what the card has written to a receive descriptor of C+ mode, and its
// buffer.
func (r *rig) given(i uint64) (first, second uint32, data []byte) {
	r.tb.Helper()
	at := rxRing + i*descriptorSize
	r.await("a frame", func() bool {
		v, err := r.ram.AtomicLoad32(at)
		must(r.tb, err)
		first = v
		return v&plusOWN == 0
	})
	second, err := r.ram.Load32(at + 4)
	must(r.tb, err)
	data = make([]byte, first&plusSize)
	must(r.tb, r.ram.ReadAt(data, rxData+i*0x4000))
	return first, second, data
}

// frameOf is an Ethernet frame of a type and payload.
func frameOf(to string, etherType uint16, payload []byte) []byte {
	b := append([]byte(to), 2, 0, 0, 0, 0, 1)
	return append(binary.BigEndian.AppendUint16(b, etherType), payload...)
}

const (
	self      = "\x52\x54\x00\x12\x34\x56"
	broadcast = "\xff\xff\xff\xff\xff\xff"
)
