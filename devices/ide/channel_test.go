package ide

import (
	"bytes"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/devices/pci"
)

// signature expects the task file after a reset.
func (r *rig) signature(status, mid, high uint8) {
	r.tb.Helper()
	for _, c := range []struct {
		name string
		reg  uint64
		want uint8
	}{{"status", regStatus, status}, {"error", regError, 1}, {"count", regCount, 1}, {"low", regLow, 1}, {"mid", regMid, mid}, {"high", regHigh, high}} {
		if got := r.in(c.reg); got != c.want {
			r.tb.Errorf("%s is %#x after a reset, want %#x", c.name, got, c.want)
		}
	}
}

func newBoth(t *testing.T) *rig {
	disk := blocktest.NewMemory(make([]byte, 1<<20), false)
	t.Cleanup(func() { _ = disk.Close() })
	return newRig(t, [Channels][Units]DriveOptions{{DiskOptions{Backend: disk, Errors: report}, CDROMOptions{Errors: report}}})
}

func TestSignature(t *testing.T) {
	r := newBoth(t)
	both := func() {
		t.Helper()
		r.on(0, 0).signature(statusReady, 0, 0)
		r.on(0, 1).signature(0, 0x14, 0xEB)
	}
	both() // after power-on
	r.out(regLow, 0x77)
	r.control(controlSRST)
	if s := r.altStatus(); s != statusBSY {
		t.Errorf("status %#x in SRST", s)
	}
	r.out(regStatus, cmdIdentify) // nobody listens
	r.control(0)
	if d := r.in(regDevice); d != deviceOnes {
		t.Errorf("device register %#x after SRST", d)
	}
	both()

	r.out(regLow, 0x77)
	r.out(regStatus, cmdExecuteDiagnostic)
	r.drain()
	if !r.asserted() {
		t.Error("no interrupt after EXECUTE DEVICE DIAGNOSTIC")
	}
	if d := r.in(regDevice); d != deviceOnes {
		t.Errorf("device register %#x after EXECUTE DEVICE DIAGNOSTIC", d)
	}
	both()

	r.on(0, 1).out(regLow, 0x77)
	r.out(regStatus, cmdDeviceReset)
	r.signature(0, 0x14, 0xEB)
	if r.asserted() {
		t.Error("an interrupt after DEVICE RESET")
	}

	// Drivers that know only disks ask a CD-ROM drive these.
	for _, cmd := range []uint8{cmdIdentify, cmdReadSectors} {
		r.out(regStatus, cmd)
		r.failed(errorABRT)
		if m, h := r.in(regMid), r.in(regHigh); m != 0x14 || h != 0xEB {
			t.Errorf("no signature after command %#x", cmd)
		}
	}
}

func TestAbsent(t *testing.T) {
	r, _, _ := newDisk(t)
	for _, at := range [][2]int{{0, 1}, {1, 0}, {1, 1}} {
		r.on(at[0], at[1])
		r.out(regCount, 0x55)
		r.out(regLow, 0xAA)
		r.out(regStatus, cmdIdentify)
		r.ports.Write(r.base, []byte{1, 2, 3, 4})
		for reg := range uint64(CommandPorts) {
			if got := r.in(reg); got != 0 {
				t.Errorf("%v: register %d is %#x", at, reg, got)
			}
		}
		if r.altStatus() != 0 || r.asserted() {
			t.Errorf("%v: status %#x, interrupt %v", at, r.altStatus(), r.asserted())
		}
		r.control(controlSRST)
		r.control(0)
		if r.on(at[0], at[1]).altStatus() != 0 {
			t.Errorf("%v: status %#x after SRST", at, r.altStatus())
		}
	}
}

func TestInterrupts(t *testing.T) {
	r := newBoth(t)
	// nIEN holds the interrupt back, and does not lose it.
	r.control(controlNIEN)
	r.command(cmdRecalibrate, 0, 0)
	if r.asserted() || r.bmStatus()&bmInterrupt != 0 {
		t.Error("an interrupt in spite of nIEN")
	}
	r.control(0)
	if !r.asserted() || r.bmStatus()&bmInterrupt == 0 {
		t.Error("no interrupt when nIEN is cleared")
	}
	// So does selecting the other drive.
	r.on(0, 1)
	if r.asserted() {
		t.Error("the interrupt of a drive that is not selected")
	}
	r.on(0, 0)
	if !r.asserted() {
		t.Error("no interrupt when the drive is selected again")
	}
	if r.altStatus(); !r.asserted() {
		t.Error("Alternate Status acknowledges the interrupt")
	}
	r.ok()
	// A new command does, too.
	r.command(cmdRecalibrate, 0, 0)
	r.command(cmdReadSectors, 0, 1)
	r.status(statusReady | statusDRQ)
}

// TestBusyRegisters writes registers at times at which nobody may.
func TestBusyRegisters(t *testing.T) {
	r, content, faulty := newDisk(t)
	release := make(chan struct{})
	faulty.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.command(cmdReadSectors, 7, 1)
	faulty.WaitHeld(1)
	if s := r.in(regStatus); s != statusBSY {
		t.Fatalf("status %#x while the host reads", s)
	}
	r.out(regLow, 0x55)
	r.out(regDevice, deviceOnes|deviceUnit)
	r.out(regStatus, cmdIdentify)
	r.ports.Read(r.base, make([]byte, 2))
	close(release)
	r.status(statusReady | statusDRQ)
	r.out(regLow, 0x55)
	r.out(regStatus, cmdIdentify)
	if !bytes.Equal(r.readData(512), sectors(content, 7, 1)) {
		t.Error("the read was disturbed")
	}
	if got := r.in(regLow); got != 7 {
		t.Errorf("LBA Low is %#x", got)
	}
}

func TestResetInFlight(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(r *rig)
	}{
		{"PIO", func(r *rig) { r.command(cmdReadSectors, 0, 4) }},
		{"DMA", func(r *rig) {
			r.table(prd{dataAt, 4096})
			r.command(cmdReadDMA, 0, 8)
			r.startDMA(true)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, content, faulty := newDisk(t)
			release := make(chan struct{})
			faulty.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
			c.start(r)
			faulty.WaitHeld(1)
			r.control(controlSRST)
			r.control(0)
			if s := r.altStatus(); s != statusBSY {
				t.Errorf("status %#x while the host still reads", s)
			}
			r.out(regStatus, cmdIdentify)
			close(release)
			r.drain()
			r.signature(statusReady, 0, 0)
			if r.asserted() {
				t.Error("an interrupt of the command that was reset")
			}
			r.bm(regBMCommand, 1, 0)
			r.command(cmdReadSectors, 3, 1)
			r.status(statusReady | statusDRQ)
			if !bytes.Equal(r.readData(512), sectors(content, 3, 1)) {
				t.Error("the disk reads wrong after the reset")
			}
		})
	}
}

// TestResetTwice asserts SRST again before the first one could take effect.
func TestResetTwice(t *testing.T) {
	r, _, faulty := newDisk(t)
	release := make(chan struct{})
	faulty.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.command(cmdReadSectors, 0, 4)
	faulty.WaitHeld(1)
	r.control(controlSRST)
	r.control(0)
	r.control(controlSRST)
	close(release)
	r.drain()
	if s := r.altStatus(); s != statusBSY {
		t.Errorf("status %#x in SRST", s)
	}
	r.control(0)
	r.signature(statusReady, 0, 0)
}

func TestMachineReset(t *testing.T) {
	r, _, faulty := newDisk(t)
	release := make(chan struct{})
	faulty.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.command(cmdReadSectors, 0, 4)
	faulty.WaitHeld(1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.pci.Reset()
	}()
	d := r.c.channels[0].drives[0]
	r.eventually(func() bool {
		d.ch.mu.Lock()
		defer d.ch.mu.Unlock()
		return d.abandoned
	})
	close(release)
	<-done
	r.signature(statusReady, 0, 0)
	if s := r.c.State().Channels[0]; s.Control != 0 || s.Asserted || s.BusMaster.Status != bmCapable0 {
		t.Errorf("state %+v", s)
	}
	if s := r.c.Stats(0, 0); s.Read.Requests != 0 {
		t.Errorf("a request that was dropped is counted: %+v", s)
	}
}

func TestDecode(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 1<<20), false)
	defer disk.Close()
	drives := [Channels][Units]DriveOptions{{DiskOptions{Backend: disk, Errors: report}}, {CDROMOptions{Errors: report}}}
	r := newRigWith(t, Options{Drives: drives})
	answers := func(channel int) bool {
		r.on(channel, 0)
		return r.altStatus() != 0xFF || r.in(regCount) != 0xFF
	}
	if answers(0) || answers(1) {
		t.Fatal("ports answer after power-on")
	}
	r.config(regIDETIM, 2, idetimDecode)
	if !answers(0) || answers(1) {
		t.Error("IDETIM of the primary channel does not enable it alone")
	}
	r.config(regIDETIM, 4, idetimDecode<<16)
	if answers(0) || !answers(1) {
		t.Error("IDETIM of the secondary channel does not enable it alone")
	}
	r.config(pci.RegCommand, 2, 0)
	if answers(1) {
		t.Error("ports answer without I/O space")
	}
	r.config(pci.RegCommand, 2, 0xFFFF)
	if got := r.c.Uint16(pci.RegCommand); got != 0x0005 {
		t.Errorf("command register %#x", got)
	}
	r.pci.Reset()
	if answers(0) || answers(1) {
		t.Error("ports answer after a reset")
	}
	for _, c := range []struct {
		reg  uint8
		want uint32
	}{{0, 0x70108086}, {4, 0x02800000}, {8, 0x01018000}, {0x20, 1}, {0x3C, 0}} {
		if got := r.c.Uint32(c.reg); got != c.want {
			t.Errorf("register %#x is %#x, want %#x", c.reg, got, c.want)
		}
	}
}
