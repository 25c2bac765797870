package firmware

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/govmm/govmm/boot"
)

// number reads a 32-bit item.
func number(t testing.TB, items []Item, key uint16) uint32 {
	t.Helper()
	return le.Uint32(file(t, items, "", key))
}

func TestKernelItems(t *testing.T) {
	items := mustItems(t, Config{LowRAM: 512 * mib, CPUs: 1, BootOrder: []string{"/x"}, Kernel: &Kernel{
		Image:   bzImage([]byte("code"), []byte("protected mode"), nil),
		Initrd:  strings.NewReader("initrd"),
		Cmdline: "console=ttyS0 vga=0x317",
	}})
	s := file(t, items, "", keySetupData)
	if got := number(t, items, keySetupSize); got != 5*512 || len(s) != 5*512 || number(t, items, keySetupAddr) != 0x10000 {
		t.Errorf("setup: %d and %d bytes at %#x", got, len(s), number(t, items, keySetupAddr))
	}
	if string(s[0x268:0x26C]) != "code" {
		t.Errorf("setup holds %q", s[0x268:0x26C])
	}
	const initrd = 496*mib - 4096
	for _, tt := range []struct {
		what      string
		got, want uint32
	}{
		{"type_of_loader", uint32(s[offTypeOfLoader]), 0xFF},
		{"loadflags", uint32(s[offLoadflags]), 0x81},
		{"heap_end_ptr", uint32(le.Uint16(s[offHeapEnd:])), 0xDE00},
		{"cmd_line_ptr", le.Uint32(s[offCmdlinePtr:]), 0x20000},
		{"vid_mode", uint32(le.Uint16(s[offVidMode:])), 0x317},
		{"ramdisk_image", le.Uint32(s[offRamdisk:]), initrd},
		{"ramdisk_size", le.Uint32(s[offRamdiskSize:]), 6},
		{"KERNEL_ADDR", number(t, items, keyKernelAddr), 0x100000},
		{"KERNEL_SIZE", number(t, items, keyKernelSize), 14},
		{"INITRD_ADDR", number(t, items, keyInitrdAddr), initrd},
		{"INITRD_SIZE", number(t, items, keyInitrdSize), 6},
		{"CMDLINE_ADDR", number(t, items, keyCmdlineAddr), 0x20000},
		{"CMDLINE_SIZE", number(t, items, keyCmdlineSize), 24},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %#x, want %#x", tt.what, tt.got, tt.want)
		}
	}
	for key, want := range map[uint16]string{
		keyKernelData: "protected mode", keyInitrdData: "initrd", keyCmdlineData: "console=ttyS0 vga=0x317\x00",
	} {
		if got := file(t, items, "", key); string(got) != want {
			t.Errorf("key %#x: %q, want %q", key, got, want)
		}
	}
	if got := file(t, items, "bootorder", 0); string(got) != "/rom@genroms/linux.bin\n/x\x00" {
		t.Errorf("boot order %q", got)
	}
	if got := file(t, items, "genroms/linux.bin", 0); !bytes.Equal(got, kernelROM()) {
		t.Error("the option ROM is not there")
	}
}

func TestKernelWithoutInitrd(t *testing.T) {
	for _, initrd := range []boot.Image{nil, strings.NewReader("")} {
		items := mustItems(t, Config{LowRAM: 64 * mib, CPUs: 1, Kernel: &Kernel{Image: bzImage(nil, []byte("k"), nil), Initrd: initrd}})
		if a, n := number(t, items, keyInitrdAddr), number(t, items, keyInitrdSize); a != 0 || n != 0 {
			t.Errorf("%d bytes at %#x", n, a)
		}
	}
}

// TestKernelIsNotRead checks that a large kernel stays in its file.
func TestKernelIsNotRead(t *testing.T) {
	head := content(t, bzImage(nil, nil, nil))
	image := &joined{head: head, rest: 1 << 29}
	items := mustItems(t, Config{LowRAM: 3 << 30, CPUs: 1, Kernel: &Kernel{Image: image, Initrd: sparse(1 << 29)}})
	if image.read > 2*int64(len(head)) {
		t.Errorf("%d bytes were read", image.read)
	}
	if got := number(t, items, keyKernelSize); got != 1<<29 {
		t.Errorf("kernel of %d bytes", got)
	}
}

// joined is a file of head and many zeros, which counts what is read of it.
type joined struct {
	head       []byte
	rest, read int64
}

func (j *joined) Size() int64 { return int64(len(j.head)) + j.rest }

func (j *joined) ReadAt(p []byte, off int64) (int, error) {
	j.read += int64(len(p))
	clear(p)
	if off < int64(len(j.head)) {
		copy(p, j.head[off:])
	}
	return len(p), nil
}

func TestInitrdPlace(t *testing.T) {
	version := func(v uint16) func([]byte) { return func(s []byte) { le.PutUint16(s[offVersion:], v) } }
	for _, tt := range []struct {
		name   string
		low    uint64
		size   int64
		change func([]byte)
		want   uint32 // 0: an error
	}{
		{"below 2 GiB, as the kernel says", 3 << 30, 4096, nil, 0x7FFFF000},
		{"anywhere", 3 << 30, 4096, func(s []byte) { s[offXloadflags] = xlfAbove4G }, 3<<30 - 16*mib - 4096},
		{"protocol 2.02", 3 << 30, 4096, version(0x202), 0x37FFF000},
		{"size not a multiple of a page", 1 << 30, 4097, nil, 1<<30 - 16*mib - 8192},
		{"small machine", 64 * mib, 4096, nil, 63*mib - 4096},
		{"all there is", 64 * mib, 62*mib - 4096, nil, 0x101000},
		{"a page too much", 64 * mib, 62*mib + 1, nil, 0},
		{"over the unpacked kernel", 64 * mib, 40 * mib, func(s []byte) {
			le.PutUint64(s[offPrefAddress:], 16*mib)
			le.PutUint32(s[offInitSize:], 20*mib)
		}, 0},
		{"beside the unpacked kernel", 64 * mib, 20 * mib, func(s []byte) {
			le.PutUint64(s[offPrefAddress:], 16*mib)
			le.PutUint32(s[offInitSize:], 20*mib)
		}, 43 * mib},
		{"limit of 4 GiB", 3 << 30, 4096, func(s []byte) { le.PutUint32(s[offInitrdMax:], 0xFFFFFFFF) }, 3<<30 - 16*mib - 4096},
		{"more than there is RAM", 1 * mib, 4096, nil, 0},
	} {
		items, err := Items(Config{LowRAM: tt.low, CPUs: 1,
			Kernel: &Kernel{Image: bzImage(nil, []byte("k"), tt.change), Initrd: sparse(tt.size)}})
		switch {
		case tt.want == 0:
			if err == nil || !strings.Contains(err.Error(), "do not fit") {
				t.Errorf("%s: error %v", tt.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case number(t, items, keyInitrdAddr) != tt.want:
			t.Errorf("%s: at %#x, want %#x", tt.name, number(t, items, keyInitrdAddr), tt.want)
		}
	}
}

func TestKernelErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		image boot.Image
		line  string
		want  string
	}{
		{"empty", strings.NewReader(""), "", "not a bzImage"},
		{"short", strings.NewReader(strings.Repeat("x", 0x263)), "", "not a bzImage"},
		{"ELF", strings.NewReader("\x7fELF" + strings.Repeat("x", 10000)), "", "not a bzImage"},
		{"no boot flag", bzImage(nil, []byte("k"), func(s []byte) { s[offBootFlag] = 0 }), "", "not a bzImage"},
		{"old", bzImage(nil, []byte("k"), func(s []byte) { s[offVersion] = 1 }), "", "2.01"},
		{"zImage", bzImage(nil, []byte("k"), func(s []byte) { s[offLoadflags] = 0 }), "", "zImage"},
		{"cut off", bzImage(nil, nil, nil), "", "cut off"},
		{"cut off in the setup", bzImage(nil, nil, func(s []byte) { s[offSetupSects] = 0; s[offSetupSects] = 9 }), "", "cut off"},
		{"much setup", bzImage(nil, make([]byte, 100000), func(s []byte) { s[offSetupSects] = 96 }), "", "real-mode code"},
		{"huge", &joined{head: content(t, bzImage(nil, nil, nil)), rest: 1 << 32}, "", "too many"},
		{"long line", bzImage(nil, []byte("k"), nil), strings.Repeat("c", 2048), "at most 2047"},
		{"long line, old kernel", bzImage(nil, []byte("k"), func(s []byte) { s[offVersion] = 5 }), strings.Repeat("c", 256), "at most 255"},
		{"line without end", bzImage(nil, []byte("k"), func(s []byte) { le.PutUint32(s[offCmdlineSize:], 0xFFFFFFFF) }), strings.Repeat("c", cmdlineMax), fmt.Sprint("at most ", cmdlineMax-1)},
		{"zero in line", bzImage(nil, []byte("k"), nil), "a\x00b", "zero byte"},
	} {
		_, err := Items(Config{LowRAM: 64 * mib, CPUs: 1, Kernel: &Kernel{Image: tt.image, Cmdline: tt.line}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestVideoMode(t *testing.T) {
	for _, tt := range []struct {
		line string
		mode uint16
		ok   bool
	}{
		{"", 0, false}, {"quiet", 0, false}, {"vga=", 0, false}, {"vga=x", 0, false}, {"xvga=5", 0, false},
		{"vga=normal", 0xFFFF, true}, {"vga=ext", 0xFFFE, true}, {"a vga=ask b", 0xFFFD, true},
		{"vga=791", 791, true}, {"vga=0x317", 0x317, true}, {"vga=65536", 0, false}, {"vga=1 vga=2", 2, true},
	} {
		if mode, ok := videoMode(tt.line); mode != tt.mode || ok != tt.ok {
			t.Errorf("%q: %#x, %v", tt.line, mode, ok)
		}
	}
}

// FuzzKernel checks that a file either is refused or is laid out without
// overlap.
func FuzzKernel(f *testing.F) {
	f.Add(content(f, bzImage([]byte("code"), []byte("kernel"), nil)), "quiet vga=5", uint64(64*mib), int64(5000))
	f.Add(content(f, bzImage(nil, []byte("kernel"), func(s []byte) { le.PutUint16(s[offVersion:], 0x202) })), "", uint64(1*mib), int64(0))
	f.Fuzz(func(t *testing.T, image []byte, line string, low uint64, initrd int64) {
		items, err := Items(Config{LowRAM: low, CPUs: 1,
			Kernel: &Kernel{Image: bytes.NewReader(image), Initrd: sparse(max(initrd, 0)), Cmdline: line}})
		if err != nil {
			return
		}
		setup, kernel, command := file(t, items, "", keySetupData), file(t, items, "", keyKernelData), file(t, items, "", keyCmdlineData)
		if len(setup)+len(kernel) != len(image) || len(setup) > setupMax || len(command) > cmdlineMax {
			t.Fatalf("setup %d, kernel %d, command line %d bytes of %d", len(setup), len(kernel), len(command), len(image))
		}
		if at, n := uint64(number(t, items, keyInitrdAddr)), uint64(number(t, items, keyInitrdSize)); n > 0 &&
			(at < kernelBase+uint64(len(kernel)) || at+n > low) {
			t.Fatalf("initrd of %d bytes at %#x, kernel of %d bytes, RAM of %d", n, at, len(kernel), low)
		}
	})
}
