package ide

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/devices/pci"
)

var errDisk = errors.New("the disk is broken")

func TestDMA(t *testing.T) {
	for _, c := range []struct {
		name        string
		read, write uint8
		ext         bool
		n           int
		regions     []prd
		status      uint8 // of the bus master in the end
	}{
		{"one region", cmdReadDMA, cmdWriteDMA, false, 8, []prd{{dataAt, 4096}}, bmInterrupt},
		{"no retries", cmdReadDMAOnce, cmdWriteDMAOnce, false, 8, []prd{{dataAt, 4096}}, bmInterrupt},
		{"64 KiB", cmdReadDMA, cmdWriteDMA, false, 128, []prd{{dataAt, 0}}, bmInterrupt},
		{"256 sectors", cmdReadDMA, cmdWriteDMA, false, 256, []prd{{dataAt, 0}, {dataAt + 0x10000, 0}}, bmInterrupt},
		{"ext", cmdReadDMAExt, cmdWriteDMAExt, true, 300, []prd{{dataAt, 0}, {dataAt + 0x10000, 0}, {dataAt + 0x20000, 44 * 512}}, bmInterrupt},
		{"odd pieces", cmdReadDMA, cmdWriteDMA, false, 2, []prd{{dataAt, 2}, {dataAt + 2, 700}, {dataAt + 702, 322}}, bmInterrupt},
		{"room to spare", cmdReadDMA, cmdWriteDMA, false, 2, []prd{{dataAt, 1024}, {dataAt + 1024, 1024}}, bmInterrupt | bmActive},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, content, _ := newDisk(t)
			const lba = 40
			start := func(cmd uint8) {
				if c.ext {
					r.commandExt(cmd, lba, uint16(c.n))
				} else {
					r.command(cmd, lba, uint8(c.n))
				}
			}
			r.table(c.regions...)
			start(c.read)
			r.startDMA(true)
			r.ok()
			r.stopDMA(c.status)
			if !bytes.Equal(r.peek(dataAt, c.n*512), sectors(content, lba, c.n)) {
				t.Fatal("reads something else than is there")
			}
			data := bytes.Repeat([]byte{0xA5, 1, 2, 3}, c.n*128)
			r.poke(dataAt, data)
			r.table(c.regions...)
			r.startDMA(false) // before the command this time
			start(c.write)
			r.ok()
			r.stopDMA(c.status)
			if !bytes.Equal(sectors(content, lba, c.n), data) {
				t.Fatal("writes something else than was given")
			}
		})
	}
}

// TestDMAParts is a table of so many regions that one request cannot have them
// all.
func TestDMAParts(t *testing.T) {
	r, content, faulty := newDisk(t)
	const n = 64
	regions := make([]prd, n*512/16)
	for i := range regions {
		regions[i] = prd{dataAt + uint32(i)*16, 16}
	}
	r.table(regions...)
	r.command(cmdReadDMA, 0, n)
	r.startDMA(true)
	r.ok()
	r.stopDMA(bmInterrupt)
	if !bytes.Equal(r.peek(dataAt, n*512), sectors(content, 0, n)) {
		t.Fatal("reads something else than is there")
	}
	if got, want := faulty.Count(block.Read), len(regions)/maxSegments; got != want {
		t.Errorf("%d requests, want %d", got, want)
	}
}

// TestLargeDMA moves as much as one command can.
func TestLargeDMA(t *testing.T) {
	const n = 65536
	content := pattern(n * 512)
	disk := blocktest.NewMemory(content, false)
	defer disk.Close()
	r := newRig(t, [Channels][Units]DriveOptions{{DiskOptions{Backend: disk, Errors: report}}})
	regions := make([]prd, n/128)
	for i := range regions {
		regions[i] = prd{dataAt + uint32(i%64)<<16, 0}
	}
	r.table(regions...)
	r.commandExt(cmdReadDMAExt, 0, 0)
	r.startDMA(true)
	r.ok()
	r.stopDMA(bmInterrupt)
	if !bytes.Equal(r.peek(dataAt, 64<<16), content[n*512-64<<16:]) {
		t.Fatal("the last 4 MiB are something else than is there")
	}
}

func TestShortTable(t *testing.T) {
	r, content, _ := newDisk(t)
	r.table(prd{dataAt, 512}, prd{dataAt + 512, 100})
	r.command(cmdReadDMA, 0, 8)
	r.startDMA(true)
	r.drain()
	if s := r.altStatus(); s != statusReady || r.asserted() {
		t.Errorf("status %#x, interrupt %v", s, r.asserted())
	}
	r.stopDMA(0)
	if !bytes.Equal(r.peek(dataAt, 512), sectors(content, 0, 1)) {
		t.Error("the sector that there is room for was not read")
	}
	if !strings.Contains(r.logged(), "too small") {
		t.Errorf("log: %s", r.logged())
	}
	r.command(cmdReadSectors, 0, 1)
	r.status(statusReady | statusDRQ)
}

func TestBadTable(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrange func(r *rig)
		log     string
	}{
		{"region outside of RAM", func(r *rig) { r.table(prd{ramSize - 256, 4096}) }, "not all RAM"},
		{"region at the end of the address space", func(r *rig) { r.table(prd{0xFFFFFFFE, 0}) }, "not all RAM"},
		{"table outside of RAM", func(r *rig) { r.bm(regBMTable, 4, 0xFFFFFFF0) }, "table of memory regions is not in RAM"},
		{"no bus master", func(r *rig) {
			r.table(prd{dataAt, 4096})
			r.config(pci.RegCommand, 2, pci.CommandIO)
		}, "not a bus master"},
		{"endless table", func(r *rig) {
			entry := binary.LittleEndian.AppendUint32(nil, dataAt)
			entry = binary.LittleEndian.AppendUint32(entry, 2)
			r.poke(prdAt, bytes.Repeat(entry, prdEntries+10))
			r.bm(regBMTable, 4, prdAt)
		}, "within 64 KiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _, _ := newDisk(t)
			c.arrange(r)
			r.command(cmdReadDMA, 0, 64)
			r.startDMA(true)
			r.failed(errorABRT)
			r.stopDMA(bmError | bmInterrupt)
			if !strings.Contains(r.logged(), c.log) {
				t.Errorf("log: %s", r.logged())
			}
			r.command(cmdReadSectors, 0, 1)
			r.status(statusReady | statusDRQ)
		})
	}
}

func TestBusMasterRegisters(t *testing.T) {
	r, _, _ := newDisk(t)
	if got := r.bmStatus(); got != bmCapable0 {
		t.Errorf("status %#x as firmware leaves it", got)
	}
	r.bm(regBMTable, 4, 0x12345677)
	var v [4]byte
	r.ports.Read(bmBase+regBMTable, v[:])
	if got := binary.LittleEndian.Uint32(v[:]); got != 0x12345674 {
		t.Errorf("table pointer %#x", got)
	}
	r.bm(regBMStatus, 1, 0xFF)
	if got := r.bmStatus(); got != bmCapable0|bmCapable1 {
		t.Errorf("status %#x after ones", got)
	}
	r.bm(regBMCommand, 1, 0xFF)
	r.ports.Read(bmBase, v[:1])
	if v[0] != bmStart|bmToMemory || r.bmStatus()&bmActive == 0 {
		t.Errorf("command %#x, status %#x", v[0], r.bmStatus())
	}
	r.bm(regBMCommand, 1, 0)
	if r.bmStatus()&bmActive != 0 {
		t.Error("active after the stop")
	}
	if second := r.on(1, 0).bmStatus(); second != 0 {
		t.Errorf("the other channel's status is %#x", second)
	}
}

func TestDirty(t *testing.T) {
	r, _, _ := newDisk(t)
	r.table(prd{dataAt, 4096}, prd{dataAt + 0x5000, 4096})
	r.ram.StartDirtyTracking()
	r.command(cmdReadDMA, 0, 16)
	r.startDMA(true)
	r.ok()
	var log [ramSize / 4096 / 64]uint64
	if err := r.ram.TakeDirty(0, log[:]); err != nil {
		t.Fatal(err)
	}
	for page := range uint64(ramSize / 4096) {
		got := log[page/64]>>(page%64)&1 != 0
		if want := page == dataAt/4096 || page == dataAt/4096+5; got != want {
			t.Errorf("page %#x: dirty %v, want %v", page, got, want)
		}
	}
}

func TestTrim(t *testing.T) {
	r, content, faulty := newDisk(t)
	trim := func(ranges ...uint64) {
		data := make([]byte, 512)
		for i, v := range ranges {
			binary.LittleEndian.PutUint64(data[8*i:], v)
		}
		r.poke(dataAt, data)
		r.table(prd{dataAt, 512})
		r.out(regError, dsmTrim)
		r.commandExt(cmdDataSetManagement, 0, 1)
		r.startDMA(false)
	}
	trim(10|4<<48, 0, 100|1<<48)
	r.ok()
	r.stopDMA(bmInterrupt)
	if faulty.Count(block.Discard) != 2 {
		t.Errorf("%d discards, want 2", faulty.Count(block.Discard))
	}
	for _, c := range []struct {
		lba  int
		gone bool
	}{{9, false}, {10, true}, {13, true}, {14, false}, {100, true}, {101, false}} {
		if got := bytes.Equal(sectors(content, c.lba, 1), make([]byte, 512)); got != c.gone {
			t.Errorf("sector %d gone: %v", c.lba, got)
		}
	}
	trim(1|1<<48, diskSectors|1<<48)
	r.failed(errorIDNF)
	if faulty.Count(block.Discard) != 2 {
		t.Error("a part of bad ranges was discarded")
	}
	faulty.Add(blocktest.Rule{Op: block.Discard, Err: errDisk})
	trim(20 | 1<<48)
	r.failed(errorABRT)
	for _, count := range []uint16{0, maxTrimBlocks + 1} {
		r.out(regError, dsmTrim)
		r.commandExt(cmdDataSetManagement, 0, count)
		r.failed(errorABRT)
	}
	r.out(regError, 0)
	r.commandExt(cmdDataSetManagement, 0, 1)
	r.failed(errorABRT)
}

// TestStopDMA stops the bus master between two parts of a transfer. The drive
// waits, and can be reset.
func TestStopDMA(t *testing.T) {
	r, content, faulty := newDisk(t)
	release := make(chan struct{})
	faulty.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	const n = 64
	regions := make([]prd, n*512/16)
	for i := range regions {
		regions[i] = prd{dataAt + uint32(i)*16, 16}
	}
	r.table(regions...)
	r.command(cmdReadDMA, 0, n)
	r.startDMA(true)
	faulty.WaitHeld(1)
	r.bm(regBMCommand, 1, 0)
	if r.bmStatus()&bmActive != 0 {
		t.Error("active after the stop")
	}
	close(release)
	r.drain()
	if s := r.altStatus(); s != statusReady|statusDRQ || r.asserted() || faulty.Count(block.Read) != 1 {
		t.Errorf("status %#x, interrupt %v, %d requests", s, r.asserted(), faulty.Count(block.Read))
	}
	r.control(controlSRST)
	r.control(0)
	r.signature(statusReady, 0, 0)
	r.table(prd{dataAt, 512})
	r.command(cmdReadDMA, 5, 1)
	r.startDMA(true)
	r.ok()
	if !bytes.Equal(r.peek(dataAt, 512), sectors(content, 5, 1)) {
		t.Error("reads something else after the reset")
	}
}
