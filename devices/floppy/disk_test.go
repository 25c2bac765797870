package floppy

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/tests/await"
)

// newFaulty is new144 with a disk that can be made to fail.
func newFaulty(tb testing.TB) (*rig, *blocktest.Faulty, []byte) {
	img := image(1474560)
	d := blocktest.NewFaulty(blocktest.NewMemory(img, false))
	tb.Cleanup(func() { d.Close() })
	r := newRig(tb, DriveOptions{Disk: d}, DriveOptions{})
	r.start()
	return r, d, img
}

func TestReadError(t *testing.T) {
	r, d, img := newFaulty(t)
	d.Add(blocktest.Rule{Op: block.Read, From: 4 * 512, To: 5 * 512, Err: unix.EIO})
	r.setUpDMA(dmaWrite, 18*512)
	r.expect("read", []byte{0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 0x40, 0x20, 0x20, 0, 0, 5, 2)
	if !bytes.Equal(r.buffer(4*512), img[:4*512]) || !bytes.Equal(r.buffer(5 * 512)[4*512:], make([]byte, 512)) {
		t.Error("the good sectors are not there")
	}
	r.setUpDMA(dmaWrite, 512)
	r.expect("next sector", []byte{0x46, 0, 0, 0, 6, 2, 18, 0x1B, 0xFF}, 0, 0, 0, 0, 0, 7, 2)
	if n := strings.Count(r.log.String(), "does not work"); n != 2 {
		t.Errorf("%d log lines: %s", n, &r.log)
	}
}

func TestWriteError(t *testing.T) {
	r, d, _ := newFaulty(t)
	d.Add(blocktest.Rule{Op: block.Write, Err: unix.ENOSPC, Times: 1})
	r.setUpDMA(dmaRead, 512)
	r.expect("write", []byte{0x45, 0, 0, 0, 3, 2, 18, 0x1B, 0xFF}, 0x40, 0x20, 0x20, 0, 0, 3, 2)
	r.setUpDMA(dmaRead, 512)
	r.expect("again", []byte{0x45, 0, 0, 0, 3, 2, 18, 0x1B, 0xFF}, 0, 0, 0, 0, 0, 4, 2)
	if d.WriteCache() {
		t.Error("the write cache is on")
	}
}

// TestSlowDisk shows that a guest's access does not wait for the disk, and that
// a reset gives the command up: the next one waits for its turn.
func TestSlowDisk(t *testing.T) {
	r, d, img := newFaulty(t)
	release := make(chan struct{})
	d.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.setUpDMA(dmaWrite, 512)
	r.command(0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
	d.WaitHeld(1)
	if s := r.in(0x3F4); s != msrBusy {
		t.Errorf("MSR %#x while the disk works", s)
	}
	r.out(0x3F4, 0x80)
	for i := range 4 {
		r.command(0x08)
		if st0, pcn := r.in(0x3F5), r.in(0x3F5); st0 != st0Polling|byte(i) || pcn != 0 {
			t.Errorf("sense %#x %d", st0, pcn)
		}
	}
	r.out(0x3F7, rate500)
	r.command(0x46, 0, 0, 0, 9, 2, 18, 0x1B, 0xFF)
	if s := r.in(0x3F4); s != msrBusy {
		t.Errorf("MSR %#x while the old request is under way", s)
	}
	close(release)
	if got := r.results(); !bytes.Equal(got, []byte{0, 0, 0, 0, 0, 10, 2}) || !bytes.Equal(r.buffer(512), sectorsOf(img, 8, 1)) {
		t.Errorf("result %x", got)
	}
}

func TestResetOfTheMachine(t *testing.T) {
	r, d, _ := newFaulty(t)
	release := make(chan struct{})
	d.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.setUpDMA(dmaWrite, 512)
	r.command(0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
	d.WaitHeld(1)
	r.fdc.Reset()
	r.dma.Reset()
	close(release)
	r.settle()
	if !bytes.Equal(r.buffer(512), make([]byte, 512)) || r.irq {
		t.Error("a transfer from before the reset arrives")
	}
	r.start()
	r.setUpDMA(dmaWrite, 512)
	r.expect("read", []byte{0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 0, 0, 0, 0, 0, 2, 2)
}

func TestPause(t *testing.T) {
	r, d, img := newFaulty(t)
	release := make(chan struct{})
	d.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.setUpDMA(dmaWrite, 36*512)
	r.command(0xC6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
	d.WaitHeld(1)
	paused := make(chan struct{})
	go func() { r.fdc.Pause(); close(paused) }()
	await.That(t, "the pause to begin", func() bool {
		r.fdc.mu.Lock()
		defer r.fdc.mu.Unlock()
		return r.fdc.disk.paused
	})
	close(release)
	<-paused
	if !bytes.Equal(r.buffer(512), make([]byte, 512)) || r.in(0x3F4) != msrBusy {
		t.Error("the guest's memory changes in a pause")
	}
	r.fdc.Resume()
	if got := r.results(); !bytes.Equal(got, []byte{4, 0, 0, 1, 0, 1, 2}) || !bytes.Equal(r.buffer(36*512), img[:36*512]) {
		t.Errorf("result %x", got)
	}
}

// TestEjectWhileReading ejects between the two runs of a command.
func TestEjectWhileReading(t *testing.T) {
	r, d, img := newFaulty(t)
	release := make(chan struct{})
	d.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.setUpDMA(dmaWrite, 36*512)
	r.command(0xC6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
	d.WaitHeld(1)
	ejected := make(chan error)
	go func() { ejected <- r.fdc.Eject(0) }()
	await.That(t, "the drive to be empty", func() bool {
		_, ok := r.fdc.Medium(0)
		return !ok
	})
	close(release)
	if err := <-ejected; err != nil {
		t.Error(err)
	}
	if got := r.results(); !bytes.Equal(got, []byte{0x44, 1, 0, 0, 1, 1, 2}) || !bytes.Equal(r.buffer(18*512), img[:18*512]) {
		t.Errorf("result %x", got)
	}
	if n := d.Count(block.Read); n != 1 {
		t.Errorf("%d reads", n)
	}
}

// TestChangeWhileWriting puts in another disk while the guest still sends data.
func TestChangeWhileWriting(t *testing.T) {
	r, _ := new144(t)
	r.command(0x03, 0xAF, 0x03)
	for _, tt := range []struct {
		name     string
		size     int64
		readOnly bool
		st1      byte
	}{{"protected", 1474560, true, st1Protected}, {"slower", 737280, false, st1NoAddrMark}} {
		r.command(0x45, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF)
		for range 511 {
			r.out(0x3F5, 0xAA)
		}
		img := make([]byte, tt.size)
		if err := r.fdc.Insert(0, disk(t, img, tt.readOnly)); err != nil {
			t.Fatal(err)
		}
		r.out(0x3F5, 0xAA)
		if got := r.results(); len(got) != 7 || got[0] != 0x40 || got[1] != tt.st1 || bytes.Contains(img, []byte{0xAA}) {
			t.Errorf("%s: result %x", tt.name, got)
		}
		if err := r.fdc.Insert(0, disk(t, make([]byte, 1474560), false)); err != nil {
			t.Fatal(err)
		}
	}
}
