package boot

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/govmm/govmm/boot/payload"
)

func TestLoadPacked64(t *testing.T) {
	image := modern([]byte("compressed kernel, of no known format")).build()
	initrd := pattern(3*mib+5, 9)
	mem := newMemory(128*mib, 0)
	cfg := mem.config(image)
	cfg.Initrd, cfg.Cmdline, cfg.RSDP = bytes.NewReader(initrd), "console=ttyS0", 0xE1230
	r := mem.load(t, cfg)

	if r.Protocol != Linux64 || r.Version != testVersion || r.Unpacked != payload.Unknown || r.Randomized {
		t.Errorf("loaded %v %q, unpacked %v, randomized %v", r.Protocol, r.Version, r.Unpacked, r.Randomized)
	}
	e := r.Entry
	if e.Mode != Long64 || e.RIP != 16*mib+0x200 || e.RSI != ZeroPageBase || e.CR3 != PageTableBase {
		t.Errorf("entry: %+v", e)
	}
	pm := image[(testSetupSects+1)*sectorSize:]
	if !bytes.Equal(mem.low[16*mib:16*mib+len(pm)], pm) {
		t.Error("protected-mode code is not at 16 MiB")
	}
	if want := (Range{128*mib - 4*mib + mib - pageSize, 3*mib + 5}); r.Initrd != want {
		t.Errorf("initrd at %#x, want %#x", r.Initrd, want)
	}
	if !bytes.Equal(mem.low[r.Initrd.Base:r.Initrd.End()], initrd) {
		t.Error("initrd differs")
	}
	if got := cString(mem.low[CmdlineBase:]); got != cfg.Cmdline {
		t.Errorf("command line %q", got)
	}
	p := mem.low[ZeroPageBase:]
	for _, f := range []struct {
		name      string
		got, want uint64
	}{
		{"type_of_loader", uint64(p[offTypeOfLoader]), 0xFF},
		{"loadflags", uint64(p[offLoadflags]), loadedHigh | canUseHeap},
		{"code32_start", uint64(le.Uint32(p[offCode32Start:])), 16 * mib},
		{"cmd_line_ptr", uint64(le.Uint32(p[offCmdlinePtr:])), CmdlineBase},
		{"acpi_rsdp_addr", le.Uint64(p[offRSDP:]), 0xE1230},
		{"ramdisk_image", uint64(le.Uint32(p[offRamdiskImage:])), r.Initrd.Base},
		{"ramdisk_size", uint64(le.Uint32(p[offRamdiskSize:])), 3*mib + 5},
		{"alt_mem_k", uint64(le.Uint32(p[offAltMemK:])), 127 << 10},
		{"header", uint64(le.Uint32(p[offHeader:])), 0x53726448},
		{"setup_data", le.Uint64(p[offSetupData:]), SetupDataBase},
		{"e820_entries", uint64(p[offE820Entries]), 4},
		{"e820_table[3].addr", le.Uint64(p[offE820Table+3*20:]), mib},
		{"e820_table[3].size", le.Uint64(p[offE820Table+3*20+8:]), 127 * mib},
		{"e820_table[3].type", uint64(le.Uint32(p[offE820Table+3*20+16:])), 1},
		{"sentinel", uint64(p[0x1ef]), 0},
	} {
		if f.got != f.want {
			t.Errorf("%s is %#x, want %#x", f.name, f.got, f.want)
		}
	}
	seed := mem.low[SetupDataBase:]
	if le.Uint64(seed) != 0 || le.Uint32(seed[8:]) != setupRNGSeed || le.Uint32(seed[12:]) != 32 ||
		seed[16] != 1 || seed[47] != 32 || seed[48] != 0 {
		t.Errorf("setup_data: % x", seed[:56])
	}
}

func cString(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

func TestLoad32(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*testBzImage)
		rip    uint64
		kernel Range
	}{
		{"relocatable", func(k *testBzImage) {}, 16 * mib, Range{16 * mib, 32 * mib}},
		{"fixed", func(k *testBzImage) { k.fixed = true }, mib, Range{mib, 47 * mib}},
		// Older kernels: the room they need is a guess, four times their size.
		{"protocol 2.09", func(k *testBzImage) { k.version = 0x209 }, 2 * mib, Range{2 * mib, 4 * 0x420}},
		{"protocol 2.04", func(k *testBzImage) { k.version = 0x204 }, mib, Range{mib, 4 * 0x420}},
		{"protocol 2.02", func(k *testBzImage) { k.version = 0x202 }, mib, Range{mib, 4 * 0x420}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := modern([]byte("thirty-two bytes of an old kernel"[:32]))
			k.xloadflags = 0
			tt.change(&k)
			mem := newMemory(64*mib, 0)
			r := mem.load(t, mem.config(k.build()))
			e := r.Entry
			if r.Protocol != Linux32 || e.Mode != Protected32 || e.RIP != tt.rip || e.CR0 != cr0PE|cr0ET || e.RSI != ZeroPageBase {
				t.Errorf("%v, entry %+v", r.Protocol, e)
			}
			if r.Kernel != tt.kernel {
				t.Errorf("kernel takes %#x, want %#x", r.Kernel, tt.kernel)
			}
			if mem.low[tt.rip] != 0x90 {
				t.Error("no code at the entry point")
			}
			if has := le.Uint64(mem.low[ZeroPageBase+offSetupData:]) != 0; has != (k.version >= 0x209) {
				t.Errorf("setup_data given: %v", has)
			}
		})
	}
}

func TestInitrdPlacement(t *testing.T) {
	for _, tt := range []struct {
		name      string
		low, high int
		reserved  []E820Entry
		initrdMax uint32
		above4G   bool
		size      int
		want      uint64
		err       string
	}{
		{name: "top of RAM", low: 64 * mib, initrdMax: 0x7fffffff, size: mib, want: 63 * mib},
		{name: "under initrd_addr_max", low: 96 * mib, initrdMax: 64*mib - 1, size: mib, want: 63 * mib},
		{name: "initrd_addr_max waived", low: 96 * mib, initrdMax: 64*mib - 1, above4G: true, size: mib, want: 95 * mib},
		{name: "page aligned", low: 64 * mib, initrdMax: 0x7fffffff, size: 1, want: 64*mib - pageSize},
		{name: "under reserved", low: 64 * mib, initrdMax: 0x7fffffff, size: mib, want: 61 * mib,
			reserved: []E820Entry{{62 * mib, 2 * mib, E820ACPI}}},
		{name: "below the kernel", low: 48 * mib, initrdMax: 0x7fffffff, size: mib, want: 15 * mib},
		{name: "over 4 GiB", low: 48 * mib, high: 32 * mib, initrdMax: 0x7fffffff, above4G: true, size: 20 * mib,
			want: HighBase + 12*mib},
		{name: "not over 4 GiB", low: 48 * mib, high: 32 * mib, initrdMax: 0x7fffffff, size: 20 * mib,
			err: "initrd: 20971520 bytes do not fit in guest RAM: it has 50331648 bytes below 4 GiB and 33554432 above"},
		{name: "too large", low: 64 * mib, initrdMax: 0x7fffffff, size: 64 * mib, err: "do not fit in guest RAM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := modern([]byte("some payload of more than 13 bytes"))
			k.initrdMax = tt.initrdMax
			if !tt.above4G {
				k.xloadflags = xlfKernel64
			}
			mem := newMemory(tt.low, tt.high)
			cfg := mem.config(k.build())
			cfg.Reserved = tt.reserved
			initrd := pattern(tt.size, 3)
			cfg.Initrd = bytes.NewReader(initrd)
			r, err := Load(context.Background(), mem, cfg)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Initrd.Base != tt.want {
				t.Errorf("initrd at %#x, want %#x", r.Initrd.Base, tt.want)
			}
			if got, _ := mem.Slice(r.Initrd.Base, r.Initrd.Size); !bytes.Equal(got, initrd) {
				t.Error("initrd differs")
			}
			p := mem.low[ZeroPageBase:]
			at := uint64(le.Uint32(p[offRamdiskImage:])) | uint64(le.Uint32(p[offExtRamdiskImage:]))<<32
			if at != tt.want {
				t.Errorf("boot_params has it at %#x", at)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	good := modern([]byte("some payload of more than 13 bytes"))
	change := func(f func(*testBzImage)) []byte {
		k := good
		f(&k)
		return k.build()
	}
	for _, tt := range []struct {
		name   string
		kernel []byte
		change func(*Config)
		want   string
	}{
		{"no kernel", nil, func(c *Config) { c.Kernel = nil }, "kernel: no file given"},
		{"empty", nil, nil, "the file is empty"},
		{"little RAM", good.build(), func(c *Config) { c.LowRAM = 40 * mib }, "needs 33554432 bytes of RAM at 0x1000000 to start, and the machine has 41943040"},
		{"no RAM", good.build(), func(c *Config) { c.LowRAM = 4096 }, "at least 1 MiB"},
		{"low RAM reserved", good.build(), func(c *Config) { c.Reserved = []E820Entry{{0x8000, 0x1000, E820Reserved}} }, "the first 196608 bytes"},
		{"long command line", good.build(), func(c *Config) { c.Cmdline = strings.Repeat("x", 2048) },
			"command line has 2048 bytes, and this kernel takes at most 2047"},
		{"zero in command line", good.build(), func(c *Config) { c.Cmdline = "a\x00b" }, "contains a zero byte"},
		{"must be unpacked", good.build(), func(c *Config) { c.Decompress = DecompressAlways }, "cannot be unpacked by the host: its payload is compressed with unknown format"},
		{"initrd fails", good.build(), func(c *Config) { c.Initrd = failingImage{} }, "initrd: " + iotest.ErrTimeout.Error()},
		{"no randomness", good.build(), func(c *Config) { c.Rand = iotest.ErrReader(iotest.ErrTimeout) }, "random seed: " + iotest.ErrTimeout.Error()},
		{"old protocol", change(func(k *testBzImage) { k.version = 0x201 }), nil, "boot protocol 2.01, and 2.02"},
		{"zImage", change(func(k *testBzImage) { k.loadflags = 0 }), nil, "zImage"},
		{"truncated", good.build()[:0xa00], nil, "bzImage is truncated: 2560 bytes, and its header speaks of 3120"},
		{"truncated in setup", good.build()[:0x700], nil, "its real-mode code alone has 2048"},
		{"cut in header", good.build()[:0x210], nil, "setup header ends at 0x210"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := newMemory(64*mib, 0)
			cfg := mem.config(tt.kernel)
			if tt.change != nil {
				tt.change(&cfg)
			}
			_, err := Load(context.Background(), mem, cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v\nwant %q", err, tt.want)
			}
		})
	}
}

// failingImage cannot be read.
type failingImage struct{}

func (failingImage) ReadAt([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }
func (failingImage) Size() int64                       { return mib }

func TestLoadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	mem := newMemory(64*mib, 0)
	_, err := Load(ctx, mem, mem.config(modern([]byte("some payload of more than 13 bytes")).build()))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A reboot loads into RAM that the guest has used: nothing of that may show.
func TestReload(t *testing.T) {
	mem, fresh := newMemory(64*mib, 0), newMemory(64*mib, 0)
	image := modern(packGzip(t, testVmlinux{}.build())).build()
	want := fresh.load(t, fresh.config(image))
	for i := range mem.low {
		mem.low[i] = 0xA5
	}
	got := mem.load(t, mem.config(image))
	if *got.Entry != *want.Entry || got.Kernel != want.Kernel {
		t.Errorf("reload: %+v, first load: %+v", got.Entry, want.Entry)
	}
	base := want.Kernel.Base
	for _, r := range []Range{
		{GDTBase, gdtEntries * 8}, {ZeroPageBase, bootParamsLen}, {PageTableBase, 6 * pageSize},
		{SetupDataBase, setupDataHeader + rngSeedLen}, {CmdlineBase, 1},
		{base, 2 * mib}, {base + 4*mib, 0x2000},
	} {
		if !bytes.Equal(mem.low[r.Base:r.End()], fresh.low[r.Base:r.End()]) {
			t.Errorf("RAM at %#x differs after a reload", r.Base)
		}
	}
}

// BenchmarkLoadBzImage loads a kernel of 40 MiB, packed in 8 MiB blocks, and an
// initial ramdisk of 8 MiB.
func BenchmarkLoadBzImage(b *testing.B) {
	text := make([]byte, 40*mib)
	state := uint32(1)
	for i := range text {
		if i&15 == 0 {
			state = state*1664525 + 1013904223
		}
		text[i] = byte(state >> 24)
	}
	vmlinux := testELF{entry: testText, progs: []testProg{{typ: 1, off: 2 * mib, paddr: testText, data: text}}}.build()
	k := modern(packLZ4(b, vmlinux))
	k.initSize = 64 * mib
	image, initrd := k.build(), pattern(8*mib, 1)
	mem := newMemory(256*mib, 0)
	cfg := mem.config(image)
	cfg.Initrd, cfg.ZeroedRAM = bytes.NewReader(initrd), true
	b.SetBytes(int64(len(vmlinux) + len(initrd)))
	b.ReportAllocs()
	for b.Loop() {
		mem.load(b, cfg)
	}
}
