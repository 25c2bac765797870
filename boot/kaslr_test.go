package boot

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/govmm/govmm/boot/payload"
)

// words is a source of given random numbers.
type words []uint64

func (w *words) Read(p []byte) (int, error) {
	if len(*w) == 0 {
		return (&counter{}).Read(p) // the seed for the guest
	}
	var b [8]byte
	le.PutUint64(b[:], (*w)[0])
	*w = (*w)[1:]
	return copy(p, b[:]), nil
}

func TestLoadUnpacked(t *testing.T) {
	const slot = largePageSize
	for _, tt := range []struct {
		name      string
		vmlinux   testVmlinux
		cmdline   string
		reserved  []E820Entry
		pack      func(testing.TB, []byte) []byte
		rand      words
		base      uint64
		virtual   uint64
		notRandom bool
	}{
		{name: "first place", pack: packGzip, rand: words{0, 0}, base: testText},
		{name: "moved", pack: packGzip, rand: words{3, 5}, base: testText + 3*slot, virtual: 5 * slot},
		{name: "moved, lz4", pack: packLZ4, rand: words{3, 5}, base: testText + 3*slot, virtual: 5 * slot},
		{name: "two tables", vmlinux: testVmlinux{twoTables: true}, pack: packGzip, rand: words{3, 5}, base: testText + 3*slot, virtual: 5 * slot},
		// Between 16 MiB and the initrd at 62 MiB there are places 0 to 20.
		{name: "last place", pack: packGzip, rand: words{20, 500}, base: testText + 20*slot, virtual: 500 * slot},
		{name: "around the places", pack: packGzip, rand: words{21, 5}, base: testText, virtual: 5 * slot},
		{name: "nokaslr", cmdline: "quiet nokaslr", pack: packGzip, base: testText, notRandom: true},
		{name: "no relocations", vmlinux: testVmlinux{noRelocs: true}, pack: packGzip, base: testText, notRandom: true},
		{name: "mem=", cmdline: "mem=48M", pack: packGzip, rand: words{5}, base: testText, virtual: 5 * slot},
		{name: "around reserved RAM", cmdline: "nokaslr", pack: packGzip, base: testText + 2*slot, notRandom: true,
			reserved: []E820Entry{{testText + 0x1000, 0x200000, E820Reserved}}},
		{name: "unknown tables", vmlinux: testVmlinux{extra64: []uint32{0, 1, 0, 1}}, pack: packGzip, rand: words{3, 5}, base: testText + 3*slot},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := newMemory(63*mib, 0)
			cfg := mem.config(modern(tt.pack(t, tt.vmlinux.build())).build())
			cfg.Cmdline, cfg.Reserved, cfg.Rand = tt.cmdline, tt.reserved, &tt.rand
			cfg.Initrd = strings.NewReader(strings.Repeat("initrd", 180000))
			r := mem.load(t, cfg)
			if r.Unpacked == payload.Unknown || r.Protocol != Linux64 || r.Randomized == tt.notRandom {
				t.Errorf("unpacked %v, %v, randomized %v", r.Unpacked, r.Protocol, r.Randomized)
			}
			if r.Kernel != (Range{tt.base, testSpan}) || r.VirtualOffset != tt.virtual || r.Entry.RIP != tt.base+0x40 {
				t.Errorf("kernel at %#x, virtual +%#x, entry %#x; want %#x, +%#x",
					r.Kernel, r.VirtualOffset, r.Entry.RIP, tt.base, tt.virtual)
			}
			if flag := mem.low[ZeroPageBase+offLoadflags]&kaslrFlag != 0; flag == tt.notRandom {
				t.Errorf("KASLR_FLAG is %v", flag)
			}
			text, data := mem.low[tt.base:], mem.low[tt.base+testData-testText:]
			if text[0] != 1 || data[0] != 7 {
				t.Fatal("segments are not in place")
			}
			if got, want := le.Uint64(text[0x100:]), testDataVA+tt.virtual; got != want {
				t.Errorf("64-bit word is %#x, want %#x", got, want)
			}
			if got, want := le.Uint32(text[0x200:]), uint32((testDataVA+tt.virtual)&0xFFFFFFFF); got != want {
				t.Errorf("32-bit word is %#x, want %#x", got, want)
			}
			inverse := uint32(testInverse)
			if !tt.vmlinux.twoTables {
				inverse -= uint32(tt.virtual)
			}
			if got := le.Uint32(data[0x10:]); got != inverse {
				t.Errorf("inverse 32-bit word is %#x, want %#x", got, inverse)
			}
		})
	}
}

// A random kernel never lies over the initrd or outside RAM, wherever the
// numbers send it.
func TestPlacementStaysInRAM(t *testing.T) {
	mem := newMemory(63*mib, 0)
	image := modern(packGzip(t, testVmlinux{}.build())).build()
	seen := map[uint64]bool{}
	for i := range uint64(64) {
		cfg := mem.config(image)
		cfg.Rand = &words{i, i * 7919}
		cfg.Initrd = strings.NewReader(strings.Repeat("initrd", 100000))
		r := mem.load(t, cfg)
		if r.Kernel.Base%largePageSize != 0 || r.Kernel.Base < testText || r.Kernel.End() > r.Initrd.Base {
			t.Errorf("kernel at %#x, initrd at %#x", r.Kernel, r.Initrd)
		}
		if r.VirtualOffset%largePageSize != 0 || testText+r.VirtualOffset+testSpan > kernelImageSize {
			t.Errorf("virtual addresses moved by %#x", r.VirtualOffset)
		}
		seen[r.Kernel.Base] = true
	}
	if len(seen) != 22 {
		t.Errorf("%d places were chosen, want 22", len(seen))
	}
}

func TestUnpackedErrors(t *testing.T) {
	outside := func(word uint32) []byte {
		return modern(packGzip(t, testVmlinux{extra64: []uint32{word}}.build())).build()
	}
	cut := packGzip(t, testVmlinux{}.build())
	for i := len(cut) / 2; i < len(cut)-8; i++ {
		cut[i] ^= 0x55
	}
	for _, tt := range []struct {
		name   string
		image  []byte
		change func(*Config)
		want   string
	}{
		{"relocation below", outside(0x80FFFFFF), nil, "relocation of 0xffffffff80ffffff is outside the kernel"},
		{"relocation above", outside(0x81000000 + testSpan - 7), nil, "is outside the kernel"},
		{"damaged payload", modern(cut).build(), nil, "unpacking gzip: gzip stream: "},
		{"no randomness", modern(packGzip(t, testVmlinux{}.build())).build(), func(c *Config) { c.Rand = strings.NewReader("x") }, io.ErrUnexpectedEOF.Error()},
		{"little RAM", modern(packGzip(t, testVmlinux{}.build())).build(), func(c *Config) { c.LowRAM = 18 * mib }, "and the machine has 18874368 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mem := newMemory(64*mib, 0)
			cfg := mem.config(tt.image)
			cfg.Rand = &words{1, 5}
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

// What the host cannot or should not unpack goes to the guest as it is.
func TestLeftToGuest(t *testing.T) {
	vmlinux := testVmlinux{}.build()
	packed := packGzip(t, vmlinux)
	for _, tt := range []struct {
		name   string
		image  testBzImage
		change func(*testBzImage)
		policy Decompress
		reason string
	}{
		{"never", modern(packed), nil, DecompressNever, ""},
		{"lzo", modern([]byte("\x89LZO\x00\r\n\x1a\n and the rest")), nil, DecompressAuto, "lzo: cannot be unpacked here"},
		{"fixed address", modern(packed), func(k *testBzImage) { k.fixed = true }, DecompressAuto, "no relocatable 64-bit kernel"},
		{"32 bits", modern(packed), func(k *testBzImage) { k.xloadflags = 0 }, DecompressAuto, "no relocatable 64-bit kernel"},
		{"other address", modern(packed), func(k *testBzImage) { k.prefAddress = 18 * mib }, DecompressAuto, "linked to be loaded at 0x1000000 and prefers 0x1200000"},
		{"init_size", modern(packed), func(k *testBzImage) { k.initSize = 0x100000 }, DecompressAuto, "unpacks to 4202880 bytes, and it reserves 1048576|reserves 1048576"},
		{"no ELF", modern(packGzip(t, make([]byte, 100))), nil, DecompressAuto, "ELF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := tt.image
			if tt.change != nil {
				tt.change(&k)
			}
			mem := newMemory(64*mib, 0)
			cfg := mem.config(k.build())
			cfg.Decompress = tt.policy
			if r := mem.load(t, cfg); r.Unpacked != payload.Unknown || r.Randomized {
				t.Errorf("unpacked %v", r.Unpacked)
			}
			if tt.policy == DecompressNever {
				return
			}
			cfg.Decompress = DecompressAlways
			_, err := Load(context.Background(), mem, cfg)
			_, reason, _ := strings.Cut(tt.reason, "|")
			if err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("error %v\nwant %q", err, tt.reason)
			}
		})
	}
}

func TestDecompressPolicy(t *testing.T) {
	for _, tt := range []struct {
		policy Decompress
		format payload.Format
		slow   bool
		want   bool
	}{
		{DecompressAuto, payload.LZ4, false, true},
		{DecompressAuto, payload.Zstandard, false, true},
		{DecompressAuto, payload.Gzip, false, true},
		{DecompressAuto, payload.XZ, false, false},
		{DecompressAuto, payload.XZ, true, true},
		{DecompressAuto, payload.Bzip2, false, false},
		{DecompressAlways, payload.XZ, false, true},
		{DecompressNever, payload.LZ4, true, false},
	} {
		if got := tt.policy.onHost(tt.format, tt.slow); got != tt.want {
			t.Errorf("%v, %v, slow guest %v: host unpacks: %v", tt.policy, tt.format, tt.slow, got)
		}
	}
}
