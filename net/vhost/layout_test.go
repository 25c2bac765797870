package vhost

import (
	"bytes"
	"testing"
	"unsafe"
)

// TestLayout compares structures and requests with linux/vhost.h and
// vhost_types.h.
func TestLayout(t *testing.T) {
	ioc := func(direction, size, number uintptr) uintptr { return direction<<30 | size<<16 | 0xaf<<8 | number }
	const none, write, read = 0, 1, 2
	state, file, addr := unsafe.Sizeof(vringState{}), unsafe.Sizeof(vringFile{}), unsafe.Sizeof(vringAddr{})
	if state != 8 || file != 8 || addr != 40 {
		t.Errorf("sizes %d, %d, %d", state, file, addr)
	}
	for request, want := range map[uintptr]uintptr{
		getFeatures:   ioc(read, 8, 0x00),
		setFeatures:   ioc(write, 8, 0x00),
		setOwner:      ioc(none, 0, 0x01),
		setMemTable:   ioc(write, 8, 0x03),
		setLogBase:    ioc(write, 8, 0x04),
		setVringNum:   ioc(write, state, 0x10),
		setVringAddr:  ioc(write, addr, 0x11),
		setVringBase:  ioc(write, state, 0x12),
		getVringBase:  ioc(read|write, state, 0x12),
		setVringKick:  ioc(write, file, 0x20),
		setVringCall:  ioc(write, file, 0x21),
		setVringErr:   ioc(write, file, 0x22),
		netSetBackend: ioc(write, file, 0x30),
	} {
		if request != want {
			t.Errorf("%s is %#x, want %#x", requestName(request), request, want)
		}
	}
	for name, got := range map[string][2]uintptr{
		"used":  {unsafe.Offsetof(vringAddr{}.used), 16},
		"avail": {unsafe.Offsetof(vringAddr{}.avail), 24},
		"log":   {unsafe.Offsetof(vringAddr{}.log), 32},
	} {
		if got[0] != got[1] {
			t.Errorf("vringAddr.%s is at %d, want %d", name, got[0], got[1])
		}
	}
}

func TestMemTable(t *testing.T) {
	a, b := make([]byte, 4096), make([]byte, 8192)
	table := memTable([]Region{{0, a}, {0x100000, b}})
	want := []byte{2, 0, 0, 0, 0, 0, 0, 0}
	if len(table) != 8+2*32 || !bytes.Equal(table[:8], want) || table[8+8+1] != 0x10 || table[40+2] != 0x10 || table[40+8+1] != 0x20 {
		t.Errorf("% x", table)
	}
}

func TestFilter(t *testing.T) {
	n := &Net{features: featureMrgRxbuf | featureVersion1 | featureAccessPlatform | featureRingReset | 1<<27}
	const device = 1<<0 | 1<<5 | 1<<22 // of the device alone
	got := n.Filter(device | featureMrgRxbuf | featureVersion1 | featurePackedRing | featureEventIndex | featureRingReset | featureAccessPlatform)
	if want := uint64(device | featureMrgRxbuf | featureVersion1); got != want {
		t.Errorf("%#x, want %#x", got, want)
	}
}

// FuzzAddress has rings that a hostile driver sets up: what is given to the
// kernel lies within memory.
func FuzzAddress(f *testing.F) {
	f.Add(uint16(256), uint64(0), uint64(0x1000), uint64(0x2000))
	f.Add(uint16(1<<15), uint64(1<<64-16), uint64(1<<64-2), uint64(0))
	f.Add(uint16(4), uint64(0x3ff0), uint64(0x3ffe), uint64(0x100000))
	low, high := make([]byte, 0x4000), make([]byte, 0x80000)
	c := &Config{Memory: []Region{{0, low}, {0x100000, high}}}
	f.Fuzz(func(t *testing.T, size uint16, desc, driver, device uint64) {
		a, err := c.address(0, &Ring{Size: size, Desc: desc, Driver: driver, Device: device})
		if err != nil {
			return
		}
		for _, part := range [][2]uint64{{a.desc, 16 * uint64(size)}, {a.avail, 6 + 2*uint64(size)}, {a.used, 6 + 8*uint64(size)}} {
			if !within(part[0], part[1], low) && !within(part[0], part[1], high) {
				t.Errorf("%d bytes at %#x are outside", part[1], part[0])
			}
		}
	})
}

func within(at, n uint64, b []byte) bool {
	start := uint64(uintptr(unsafe.Pointer(&b[0])))
	return at >= start && at+n <= start+uint64(len(b))
}

// TestLogTake reads a log whose regions begin anywhere.
func TestLogTake(t *testing.T) {
	for _, first := range []uint64{0, 1, 63, 64, 100} {
		for _, pages := range []uint64{1, 63, 64, 65, 130} {
			l, err := newDirtyLog([]Region{{GPA: first * pageSize, Host: make([]byte, pages*pageSize)}})
			if err != nil {
				t.Fatal(err)
			}
			dirty := func(i uint64) bool { return i%3 == 0 || i == pages-1 }
			set := func(page uint64) { l.bitmap[page/8] |= 1 << (page % 8) }
			for i := range pages {
				if dirty(i) {
					set(first + i)
				}
			}
			set(first + pages) // another's
			log := l.take(first, pages)
			for i := range uint64(len(log)) * 64 {
				if got, want := log[i/64]>>(i%64)&1 != 0, i < pages && dirty(i); got != want {
					t.Errorf("first %d, %d pages: page %d is %v", first, pages, i, got)
				}
			}
			for i, w := range l.take(first, pages) {
				if w != 0 {
					t.Errorf("first %d, %d pages: word %d is %#x the second time", first, pages, i, w)
				}
			}
			if got := l.take(first+pages, 1); got[0] != 1 {
				t.Errorf("first %d, %d pages: the page behind was taken too", first, pages)
			}
			if err := l.close(); err != nil {
				t.Error(err)
			}
		}
	}
}
