package ide

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
)

const (
	ramSize = 16 << 20
	bmBase  = 0xC000 // where the rig puts BAR 4
	prdAt   = 0x1000 // where it puts the table of memory regions
	dataAt  = 0x100000
)

// rig is a PC's ports and RAM with the function, driven as by a driver.
type rig struct {
	tb    testing.TB
	ram   *memory.Memory
	ports *bus.Bus
	pci   *pci.Bus
	c     *Controller
	base  uint64 // of the channel that is driven
	ctl   uint64
	ch    int
	unit  uint8 // bits for the Device register

	scratch [4]byte

	mu    sync.Mutex
	level [2]bool
	edges [2]int
	log   bytes.Buffer
}

// lockedLog is written to by the device and read by the test.
type lockedLog struct{ r *rig }

func (l lockedLog) Write(p []byte) (int, error) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	return l.r.log.Write(p)
}

func newRig(tb testing.TB, drives [Channels][Units]DriveOptions) *rig {
	return newRigWith(tb, Options{Drives: drives, Firmware: true})
}

func newRigWith(tb testing.TB, o Options) *rig {
	tb.Helper()
	ram, err := memory.New(memory.Config{Size: ramSize})
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{tb: tb, ram: ram, ports: bus.New("ports", 0x10000), base: PrimaryCommandPort, ctl: PrimaryControlPort}
	o.Memory = ram
	o.Log = slog.New(slog.NewTextHandler(lockedLog{r}, nil))
	for i := range o.Lines {
		o.Lines[i] = irq.LineFunc(func(asserted bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if asserted && !r.level[i] {
				r.edges[i]++
			}
			r.level[i] = asserted
		})
	}
	r.c, err = New(o)
	if err != nil {
		tb.Fatal(err)
	}
	r.pci = pci.NewBus(pci.Options{
		Ports: r.ports, Memory: bus.New("memory", 1<<40), Router: pci.NewRouter([16]irq.Line{}), Firmware: true,
	})
	for _, err := range []error{
		r.pci.Add(r.c, 1, 1),
		r.ports.Add(PrimaryCommandPort, CommandPorts, "ide0", r.c.CommandBlock(0)),
		r.ports.Add(PrimaryControlPort, ControlPorts, "ide0 control", r.c.ControlBlock(0)),
		r.ports.Add(SecondaryCommandPort, CommandPorts, "ide1", r.c.CommandBlock(1)),
		r.ports.Add(SecondaryControlPort, ControlPorts, "ide1 control", r.c.ControlBlock(1)),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	r.config(pci.RegBAR0+4*busMasterBAR, 4, bmBase)
	r.config(pci.RegCommand, 2, pci.CommandIO|pci.CommandBusMaster)
	tb.Cleanup(func() {
		if err := r.c.Close(); err != nil {
			tb.Error(err)
		}
		if err := ram.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func (r *rig) config(reg uint8, size int, v uint32) {
	data := binary.LittleEndian.AppendUint32(nil, v)
	r.c.WriteConfig(reg, data[:size])
}

// on chooses the drive that is driven.
func (r *rig) on(channel, unit int) *rig {
	r.ch, r.base, r.ctl = channel, PrimaryCommandPort, PrimaryControlPort
	if channel == 1 {
		r.base, r.ctl = SecondaryCommandPort, SecondaryControlPort
	}
	r.unit = uint8(unit) * deviceUnit
	r.out(regDevice, deviceOnes|r.unit)
	return r
}

func (r *rig) out(reg uint64, v uint8) { r.write(r.base+reg, 1, uint32(v)) }
func (r *rig) in(reg uint64) uint8     { return r.read(r.base + reg) }
func (r *rig) control(v uint8)         { r.write(r.ctl, 1, uint32(v)) }
func (r *rig) altStatus() uint8        { return r.read(r.ctl) }

// write and read use a buffer that is there already, so that allocations can be
// counted.
func (r *rig) write(port uint64, size int, v uint32) {
	binary.LittleEndian.PutUint32(r.scratch[:], v)
	r.ports.Write(port, r.scratch[:size])
}

func (r *rig) read(port uint64) uint8 {
	r.ports.Read(port, r.scratch[:1])
	return r.scratch[0]
}

// eventually waits for a condition that another goroutine brings about.
func (r *rig) eventually(is func() bool) {
	r.tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			r.tb.Fatal("does not happen")
		}
	}
}

// drain waits until nothing is with the host's disk.
func (r *rig) drain() { r.c.channels[r.ch].wait() }

func (r *rig) asserted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.level[r.ch]
}

// irq expects an interrupt, acknowledges it by reading Status, and returns that.
func (r *rig) irq() uint8 {
	r.tb.Helper()
	r.drain()
	if !r.asserted() {
		r.tb.Fatalf("no interrupt; status %#x", r.altStatus())
	}
	status := r.in(regStatus)
	if r.asserted() {
		r.tb.Fatal("reading Status leaves the interrupt asserted")
	}
	return status
}

// status expects a status after an interrupt.
func (r *rig) status(want uint8) {
	r.tb.Helper()
	if got := r.irq(); got != want {
		r.tb.Fatalf("status %#x, want %#x (error %#x)", got, want, r.in(regError))
	}
}

// ok expects the end of a command without error.
func (r *rig) ok() {
	r.tb.Helper()
	r.status(statusReady)
}

// failed expects the end of a command with an error.
func (r *rig) failed(err uint8) {
	r.tb.Helper()
	r.status(statusReady | statusERR)
	if got := r.in(regError); got != err {
		r.tb.Fatalf("error %#x, want %#x", got, err)
	}
}

// command writes the registers of a command with a 28-bit address.
func (r *rig) command(cmd uint8, lba uint32, count uint8) {
	r.out(regDevice, deviceOnes|deviceLBA|r.unit|uint8(lba>>24))
	r.out(regCount, count)
	r.out(regLow, uint8(lba))
	r.out(regMid, uint8(lba>>8))
	r.out(regHigh, uint8(lba>>16))
	r.out(regStatus, cmd)
}

// commandExt writes those of a command with a 48-bit address.
func (r *rig) commandExt(cmd uint8, lba uint64, count uint16) {
	r.out(regDevice, deviceOnes|deviceLBA|r.unit)
	r.out(regCount, uint8(count>>8))
	r.out(regLow, uint8(lba>>24))
	r.out(regMid, uint8(lba>>32))
	r.out(regHigh, uint8(lba>>40))
	r.out(regCount, uint8(count))
	r.out(regLow, uint8(lba))
	r.out(regMid, uint8(lba>>8))
	r.out(regHigh, uint8(lba>>16))
	r.out(regStatus, cmd)
}

func (r *rig) readData(n int) []byte {
	data := make([]byte, n)
	for i := 0; i < n; i += 2 {
		r.ports.Read(r.base, data[i:min(i+2, n)])
	}
	return data
}

func (r *rig) writeData(data []byte) {
	for i := 0; i < len(data); i += 2 {
		r.ports.Write(r.base, data[i:i+2])
	}
}

// prd is a memory region for the bus master.
type prd struct {
	at   uint32
	size uint16
}

// table writes a table of memory regions.
func (r *rig) table(regions ...prd) {
	r.tb.Helper()
	for i, e := range regions {
		entry := binary.LittleEndian.AppendUint32(nil, e.at)
		control := uint32(e.size)
		if i == len(regions)-1 {
			control |= prdLast
		}
		entry = binary.LittleEndian.AppendUint32(entry, control)
		if err := r.ram.WriteAt(entry, prdAt+uint64(i)*prdSize); err != nil {
			r.tb.Fatal(err)
		}
	}
	r.bm(regBMTable, 4, prdAt)
}

func (r *rig) bm(reg uint64, size int, v uint32) {
	r.write(bmBase+uint64(r.ch)*busMasterLen+reg, size, v)
}

func (r *rig) bmStatus() uint8 {
	return r.read(bmBase + uint64(r.ch)*busMasterLen + regBMStatus)
}

// startDMA starts the bus master, with its status cleared.
func (r *rig) startDMA(toMemory bool) {
	direction := uint32(0)
	if toMemory {
		direction = bmToMemory
	}
	r.bm(regBMCommand, 1, direction)
	r.bm(regBMStatus, 1, bmError|bmInterrupt)
	r.bm(regBMCommand, 1, direction|bmStart)
}

// stopDMA stops the bus master and expects a status of it.
func (r *rig) stopDMA(want uint8) {
	r.tb.Helper()
	r.drain()
	if got := r.bmStatus() & (bmActive | bmError | bmInterrupt); got != want {
		r.tb.Errorf("bus master status %#x, want %#x", got, want)
	}
	r.bm(regBMCommand, 1, 0)
}

func (r *rig) peek(at uint64, n int) []byte {
	r.tb.Helper()
	data := make([]byte, n)
	if err := r.ram.ReadAt(data, at); err != nil {
		r.tb.Fatal(err)
	}
	return data
}

func (r *rig) poke(at uint64, data []byte) {
	r.tb.Helper()
	if err := r.ram.WriteAt(data, at); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// pattern is content that differs from sector to sector.
func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i/block.SectorSize*7 + i*31 + i>>8)
	}
	return data
}

const diskSectors = 4096

// report is an error policy that stops nothing.
var report = ErrorOptions{Policy: block.PolicyReport}

// newDisk is a rig with a disk as the master of the primary channel.
func newDisk(tb testing.TB) (r *rig, content []byte, faulty *blocktest.Faulty) {
	tb.Helper()
	content = pattern(diskSectors * block.SectorSize)
	faulty = blocktest.NewFaulty(blocktest.NewMemory(content, false))
	tb.Cleanup(func() { _ = faulty.Close() })
	r = newRig(tb, [Channels][Units]DriveOptions{{DiskOptions{Backend: faulty, Serial: "QM00001", Errors: report}}})
	return r, content, faulty
}

// sector is what a sector of pattern is.
func sectors(content []byte, lba, n int) []byte {
	return content[lba*block.SectorSize : (lba+n)*block.SectorSize]
}

// newSilentLog is for guests that would fill the log.
func newSilentLog() *bus.GuestLog { return bus.NewGuestLog(slog.New(slog.DiscardHandler), "ide") }
