package ide

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
)

var (
	testReady = []uint8{opTestUnitReady}
	eject     = []uint8{opStartStopUnit, 0, 0, 0, loadEject}
	closeTray = []uint8{opStartStopUnit, 0, 0, 0, loadEject | startMedium}
	lock      = []uint8{opPreventRemoval, 0, 0, 0, 1}
	unlock    = []uint8{opPreventRemoval, 0, 0, 0, 0}
)

// event asks for the media event and status.
func (r *rig) event() (MediaEvent, uint8) {
	r.tb.Helper()
	d := r.packetIn(0xFFFE, opGetEventStatus, 1, 0, 0, 0x10, 0, 0, 0, 8)
	return MediaEvent(d[4]), d[5]
}

func (r *rig) expectEvent(event MediaEvent, status uint8) {
	r.tb.Helper()
	if e, s := r.event(); e != event || s != status {
		r.tb.Errorf("event %d with status %#x, want %d with %#x", e, s, event, status)
	}
}

// newTray is a rig with a CD-ROM drive, with or without a medium, and the
// guest's movements of its tray.
func newTray(t *testing.T, disc block.Backend) (*rig, *CDROM, *[]bool) {
	moved := &[]bool{}
	r := newRig(t, [Channels][Units]DriveOptions{{nil, CDROMOptions{
		Backend: disc, Errors: report, TrayMoved: func(open bool) { *moved = append(*moved, open) },
	}}})
	return r.on(0, 1), r.c.CDROM(0, 1), moved
}

func newDisc(t *testing.T, blocks int, fill byte) *blocktest.Memory {
	disc := blocktest.NewMemory(bytes.Repeat([]byte{fill}, blocks*blockSize), true)
	t.Cleanup(func() { _ = disc.Close() })
	return disc
}

func TestEmptyDrive(t *testing.T) {
	r, cd, moved := newTray(t, nil)
	for _, p := range [][]uint8{testReady, read10(0, 1), readCD(0, 1, wantData), {opReadCapacity}, {opReadTOC}, {opReadDiscInfo}, {opReadDVDStructure}} {
		r.packetFails(senseNoMediumClosed, p...)
	}
	r.expectEvent(NoEvent, 0)
	if d := r.packetIn(0xFFFE, opGetConfiguration, 0, 0, 0, 0, 0, 0, 0, 8); d[6] != 0 || d[7] != 0 {
		t.Errorf("profile %#x%02x without a medium", d[6], d[7])
	}
	if d := r.packetIn(0xFFFE, opModeSense10, 0, 0x3F, 0, 0, 0, 0, 0, 255); d[2] != mediumNone {
		t.Errorf("medium type %#x", d[2])
	}
	r.packetIn(0xFFFE, eject...)
	r.packetFails(senseNoMediumOpen, testReady...)
	r.expectEvent(NoEvent, eventTrayOpen)
	r.packetIn(0xFFFE, closeTray...)
	r.packetFails(senseNoMediumClosed, testReady...)
	if !slices.Equal(*moved, []bool{true, false}) {
		t.Errorf("tray moved: %v", *moved)
	}
	if err := cd.Eject(false); err != nil {
		t.Error(err)
	}
	if m := cd.Media(); m != (Media{TrayOpen: true}) {
		t.Errorf("media %+v", m)
	}
}

func TestChangeMedium(t *testing.T) {
	r, cd, moved := newTray(t, newDisc(t, 10, 1))
	r.packetIn(0xFFFE, testReady...)
	if err := cd.Insert(newDisc(t, 20, 2)); !errors.Is(err, ErrOccupied) {
		t.Errorf("Insert: %v", err)
	}
	if err := cd.Eject(false); err != nil {
		t.Fatal(err)
	}
	r.packetFails(senseNoMediumOpen, testReady...)
	r.expectEvent(MediaRemoval, eventTrayOpen)
	r.packetIn(0xFFFE, closeTray...) // the guest closes an empty tray
	r.packetFails(senseNoMediumClosed, testReady...)
	if err := cd.Insert(newDisc(t, 20, 2)); err != nil {
		t.Fatal(err)
	}
	// Commands that inform go before the unit attention, which is reported once.
	r.packetIn(0xFFFE, opInquiry, 0, 0, 0, 36)
	r.expectEvent(NewMedia, eventHasMedium)
	r.expectEvent(NoEvent, eventHasMedium)
	r.packetFails(senseMediumChanged, testReady...)
	r.packetIn(0xFFFE, testReady...)
	if d := r.packetIn(0xFFFE, opReadCapacity); d[3] != 19 {
		t.Errorf("the last block is %d", d[3])
	}
	if d := r.packetIn(0xFFFE, read10(19, 1)...); !bytes.Equal(d, bytes.Repeat([]byte{2}, blockSize)) {
		t.Error("reads from the old medium")
	}
	if !slices.Equal(*moved, []bool{false}) {
		t.Errorf("tray moved by the guest: %v", *moved)
	}
	// REQUEST SENSE reports a unit attention as well.
	if err := errors.Join(cd.Eject(false), cd.Insert(newDisc(t, 5, 3))); err != nil {
		t.Fatal(err)
	}
	if s := r.sense(); s != senseMediumChanged {
		t.Errorf("sense %v", s)
	}
	r.packetIn(0xFFFE, testReady...)
	// A reset keeps the medium.
	r.c.Reset()
	r.config(regIDETIM, 2, idetimDecode)
	r.on(0, 1).packetIn(0xFFFE, testReady...)
}

func TestLock(t *testing.T) {
	r, cd, moved := newTray(t, newDisc(t, 10, 1))
	r.packetIn(0xFFFE, lock...)
	r.packetFails(senseLocked, eject...)
	if err := cd.Eject(false); !errors.Is(err, ErrLocked) {
		t.Errorf("Eject: %v", err)
	}
	r.expectEvent(EjectRequest, eventHasMedium)
	r.packetIn(0xFFFE, testReady...)
	if len(*moved) != 0 {
		t.Error("the tray moved")
	}
	if d := r.packetIn(0xFFFE, opModeSense10, 0, 0x2A, 0, 0, 0, 0, 0, 255); d[8+6]&2 == 0 {
		t.Error("the lock is not shown")
	}
	// The guest does as it was asked, and the medium waits in the tray.
	r.packetIn(0xFFFE, unlock...)
	r.packetIn(0xFFFE, eject...)
	if m := cd.Media(); m != (Media{Inserted: true, TrayOpen: true}) || !slices.Equal(*moved, []bool{true}) {
		t.Errorf("media %+v, moved %v", m, *moved)
	}
	r.packetFails(senseNoMediumOpen, read10(0, 1)...)
	r.expectEvent(MediaRemoval, eventTrayOpen)
	r.packetIn(0xFFFE, closeTray...)
	r.packetFails(senseMediumChanged, testReady...)
	r.packetIn(0xFFFE, read10(0, 1)...)

	r.packetIn(0xFFFE, lock...)
	if err := cd.Eject(true); err != nil {
		t.Fatal(err)
	}
	r.packetFails(senseNoMediumOpen, testReady...)
}

// The host moves the tray with what is in it, or changes that while the tray is open.
func TestTray(t *testing.T) {
	r, cd, moved := newTray(t, newDisc(t, 10, 1))
	for name, err := range map[string]error{"Remove": cd.Remove(), "Place": errors.Join(cd.Eject(false), cd.Insert(newDisc(t, 10, 1)), cd.Place(newDisc(t, 5, 0)))} {
		want := map[string]error{"Remove": ErrTrayClosed, "Place": ErrOccupied}[name]
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.packetFails(senseMediumChanged, testReady...)
	r.packetIn(0xFFFE, lock...)
	if err := cd.OpenTray(false); !errors.Is(err, ErrLocked) {
		t.Errorf("OpenTray: %v", err)
	}
	r.expectEvent(EjectRequest, eventHasMedium)
	r.packetIn(0xFFFE, unlock...)
	for range 2 {
		if err := cd.OpenTray(false); err != nil {
			t.Fatal(err)
		}
	}
	r.packetFails(senseNoMediumOpen, testReady...)
	r.expectEvent(MediaRemoval, eventTrayOpen)
	for range 2 {
		cd.CloseTray()
	}
	r.expectEvent(NewMedia, eventHasMedium)
	r.packetFails(senseMediumChanged, testReady...)
	r.packetIn(0xFFFE, read10(0, 1)...)

	// Another medium.
	if err := errors.Join(cd.OpenTray(false), cd.Remove(), cd.Remove()); err != nil {
		t.Fatal(err)
	}
	r.expectEvent(MediaRemoval, eventTrayOpen)
	cd.CloseTray()
	r.packetFails(senseNoMediumClosed, testReady...)
	if err := cd.Place(newDisc(t, 20, 2)); !errors.Is(err, ErrTrayClosed) {
		t.Errorf("Place: %v", err)
	}
	if err := errors.Join(cd.OpenTray(false), cd.Place(newDisc(t, 20, 2))); err != nil {
		t.Fatal(err)
	}
	r.packetFails(senseNoMediumOpen, testReady...)
	r.expectEvent(NoEvent, eventTrayOpen)
	if m := cd.Media(); m != (Media{Inserted: true, TrayOpen: true}) {
		t.Errorf("media %+v", m)
	}
	r.packetIn(0xFFFE, closeTray...) // by the guest
	r.expectEvent(NewMedia, eventHasMedium)
	r.packetFails(senseMediumChanged, testReady...)
	if d := r.packetIn(0xFFFE, opReadCapacity); d[3] != 19 {
		t.Errorf("the last block is %d", d[3])
	}
	if want := []bool{true, false, true, false, true, false}; !slices.Equal(*moved, want) {
		t.Errorf("tray moved: %v, want %v", *moved, want)
	}
}

// TestEjectInFlight takes the medium out while the host reads it.
func TestEjectInFlight(t *testing.T) {
	for _, dma := range []bool{false, true} {
		r, _, faulty := newCD(t)
		release := make(chan struct{})
		faulty.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
		regions := make([]prd, discBlocks*blockSize/2048)
		for i := range regions { // in more than one request
			regions[i] = prd{dataAt + uint32(i)*512, 512}
		}
		r.table(regions...)
		r.sendPacket(dma, 0xFFFE, read10(0, 200)...)
		if dma {
			r.startDMA(true)
		}
		faulty.WaitHeld(1)
		done := make(chan error)
		go func() { done <- r.c.CDROM(1, 0).Eject(false) }()
		// The tray is open before the request is back.
		r.eventually(func() bool { return r.c.CDROM(1, 0).Media().TrayOpen })
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := faulty.Close(); err != nil {
			t.Fatal(err)
		}
		for r.irq() == statusReady|statusDRQ {
			r.readData(int(r.in(regMid)) | int(r.in(regHigh))<<8)
		}
		if s := r.sense(); s != senseNoMediumOpen && !dma {
			t.Errorf("sense %v", s)
		}
	}
}

// TestEjectKept takes the medium out while a request waits for Resume.
func TestEjectKept(t *testing.T) {
	faulty := blocktest.NewFaulty(blocktest.NewMemory(make([]byte, 1<<20), true))
	faulty.Add(blocktest.Rule{Op: block.Read, Err: errDisk})
	r := newRig(t, [Channels][Units]DriveOptions{{CDROMOptions{
		Backend: faulty, Errors: ErrorOptions{Policy: block.PolicyStop, OnError: func(block.IOError) {}},
	}}})
	r.sendPacket(false, 0xFFFE, read10(0, 1)...)
	r.drain()
	if r.c.Kept() != 1 {
		t.Fatalf("%d kept", r.c.Kept())
	}
	if err := errors.Join(r.c.CDROM(0, 0).Eject(false), faulty.Close()); err != nil {
		t.Fatal(err)
	}
	r.c.Resume()
	r.failed(0x02 << 4)
	if s := r.sense(); s != senseNoMediumOpen {
		t.Errorf("sense %v", s)
	}
}

func TestInsertErrors(t *testing.T) {
	r, cd, _ := newTray(t, nil)
	if err := cd.Insert(newDisc(t, 0, 0)); err == nil {
		t.Error("a medium without blocks can be inserted")
	}
	if m := cd.Media(); m.Inserted {
		t.Error("it is in the drive")
	}
	if r.c.CDROM(0, 0) != nil || r.c.CDROM(5, 5) != nil {
		t.Error("there are drives where there are none")
	}
	if err := cd.Insert(newDisc(t, 1, 0)); err != nil {
		t.Error(err)
	}
}
