package floppy

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/dma"
	"github.com/govmm/govmm/devices/irq"
)

// ram is the guest's memory: the first 2 MiB.
type ram []byte

var errNoRAM = errors.New("no memory there")

func (m ram) ReadAt(p []byte, gpa uint64) error {
	if gpa+uint64(len(p)) > uint64(len(m)) {
		return errNoRAM
	}
	copy(p, m[gpa:])
	return nil
}

func (m ram) WriteAt(p []byte, gpa uint64) error {
	if gpa+uint64(len(p)) > uint64(len(m)) {
		return errNoRAM
	}
	copy(m[gpa:], p)
	return nil
}

// rig is a PC's floppy controller with everything around it.
type rig struct {
	tb    testing.TB
	fdc   *FDC
	dma   *dma.DMA
	ports *bus.Bus
	ram   ram
	log   bytes.Buffer
	irq   bool
	edges int
}

const buffer = 0x10000 // where the driver has its DMA buffer

func newRig(tb testing.TB, a, b DriveOptions) *rig {
	tb.Helper()
	r := &rig{tb: tb, ports: bus.New("ports", 0x10000), ram: make(ram, 2<<20)}
	r.dma = dma.New(dma.Options{Memory: r.ram, Firmware: true})
	var err error
	r.fdc, err = New(Options{
		Drives: [2]DriveOptions{a, b},
		DMA:    r.dma.Channel(2),
		Log:    slog.New(slog.NewTextHandler(&r.log, nil)),
		IRQ: irq.LineFunc(func(asserted bool) {
			r.irq = asserted
			if asserted {
				r.edges++
			}
		}),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.fdc.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := errors.Join(
		r.ports.Add(Port, Ports, "floppy", r.fdc),
		r.ports.Add(DIRPort, DIRPorts, "floppy dir", r.fdc.DIR()),
		r.ports.Add(dma.LowPort, dma.LowPorts, "dma low", r.dma.Low()),
		r.ports.Add(dma.HighPort, dma.HighPorts, "dma high", r.dma.High()),
		r.ports.Add(dma.PagePort, dma.PagePorts, "dma pages", r.dma.Pages()),
	); err != nil {
		tb.Fatal(err)
	}
	return r
}

// pattern is what sector lba of a test's disk holds.
func pattern(lba int) []byte {
	s := make([]byte, sectorSize)
	for i := range s {
		s[i] = byte(lba*31 + i*7 + lba>>8)
	}
	return s
}

// image is a disk of which each sector holds its pattern.
func image(size int64) []byte {
	var b []byte
	for lba := range int(size / sectorSize) {
		b = append(b, pattern(lba)...)
	}
	return b
}

// disk gives a test a disk with an image.
func disk(tb testing.TB, image []byte, readOnly bool) block.Backend {
	d := blocktest.NewMemory(image, readOnly)
	tb.Cleanup(func() { d.Close() })
	return d
}

// new144 is a rig with one disk of 1.44M, reset and ready as a driver leaves it.
func new144(tb testing.TB) (*rig, []byte) {
	img := image(1474560)
	r := newRig(tb, DriveOptions{Disk: disk(tb, img, false)}, DriveOptions{})
	r.start()
	return r, img
}

// start resets the controller and brings it into service at 500 kbit/s.
func (r *rig) start() {
	r.tb.Helper()
	r.out(0x3F2, 0x0C)
	for i := range 4 {
		r.expect("sense after reset", []byte{0x08}, st0Polling|byte(i), 0)
	}
	r.out(0x3F7, rate500)
	r.command(0x03, 0xAF, 0x02)
	r.out(0x3F2, 0x1C)
}

func (r *rig) out(port uint64, values ...byte) {
	for _, v := range values {
		r.ports.Write(port, []byte{v})
	}
}

func (r *rig) in(port uint64) byte {
	data := []byte{0}
	r.ports.Read(port, data)
	return data[0]
}

// command sends bytes to the FIFO as a driver does, looking at the MSR.
func (r *rig) command(values ...byte) {
	r.tb.Helper()
	for i, v := range values {
		if s := r.in(0x3F4); s&(msrRequest|msrToHost) != msrRequest {
			r.tb.Fatalf("byte %d of %x: MSR %#x", i, values, s)
		}
		r.out(0x3F5, v)
	}
}

// settle waits until the controller waits for the guest.
func (r *rig) settle() {
	for {
		r.fdc.Pause()
		r.fdc.Resume()
		r.fdc.mu.Lock()
		busy := r.fdc.disk.inUse()
		r.fdc.mu.Unlock()
		if !busy {
			return
		}
	}
}

// results reads the result phase, which may be none.
func (r *rig) results() []byte {
	r.tb.Helper()
	r.settle()
	var got []byte
	for r.in(0x3F4)&(msrRequest|msrToHost|msrBusy) == msrRequest|msrToHost|msrBusy {
		got = append(got, r.in(0x3F5))
		if len(got) > fifoSize {
			r.tb.Fatal("the result does not end")
		}
	}
	return got
}

// expect sends a command and checks its result.
func (r *rig) expect(name string, command []byte, want ...byte) {
	r.tb.Helper()
	r.command(command...)
	if got := r.results(); !bytes.Equal(got, want) {
		r.tb.Errorf("%s: result %x, want %x", name, got, want)
	}
	if s := r.in(0x3F4); s != msrRequest {
		r.tb.Errorf("%s: MSR %#x after the result", name, s)
	}
}

// Modes of DMA channel 2.
const (
	dmaWrite  = 0x46 // to memory: the disk is read
	dmaRead   = 0x4A
	dmaVerify = 0x42
)

// setUpDMA programs channel 2 for n bytes at the buffer.
func (r *rig) setUpDMA(mode byte, n int) {
	r.out(0x0A, 6)
	r.out(0x0C, 0)
	r.out(0x0B, mode)
	r.out(0x04, 0, 0)
	r.out(0x05, byte(n-1), byte((n-1)>>8))
	r.out(0x81, buffer>>16)
	r.out(0x0A, 2)
}

func (r *rig) buffer(n int) []byte { return r.ram[buffer : buffer+n] }

// seek moves the head and senses that it did.
func (r *rig) seek(drive, cylinder byte) {
	r.tb.Helper()
	r.command(0x0F, drive, cylinder)
	r.expect("sense after seek", []byte{0x08}, st0SeekEnd|drive, cylinder)
}

// sectorsOf is what an image has from a sector on.
func sectorsOf(img []byte, lba, n int) []byte { return img[lba*sectorSize : (lba+n)*sectorSize] }

func chs(g Geometry, c, h, r int) int { return (c*g.Heads+h)*g.Sectors + r - 1 }

func hex(b []byte) string { return fmt.Sprintf("%x", b) }
