package firmware

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/govmm/govmm/boot"
)

// Kernel is a Linux kernel that the firmware boots: SeaBIOS by an option ROM
// (see optionrom.go), OVMF by itself.
type Kernel struct {
	Image   boot.Image // a bzImage of boot protocol 2.02 or later
	Initrd  boot.Image // nil: none
	Cmdline string
}

// Where the option ROM puts the parts of the kernel: the addresses that the
// boot protocol suggests. The heap and the stack of the real-mode code lie
// between it and the command line.
const (
	setupBase   = 0x10000
	cmdlineBase = 0x20000
	kernelBase  = 0x100000

	// heapEnd is where the heap ends, as an offset from setupBase; the stack of
	// the option ROM lies above it, and setupMax leaves room for a heap.
	heapEnd  = 0xE000
	setupMax = 0xC000

	// cmdlineMax is the room for the command line below the extended BIOS data
	// area, with its terminating zero.
	cmdlineMax = 0x60000
)

// The setup header, as far as a boot loader in real mode has to do with it. For
// the fields see Documentation/arch/x86/boot.rst.
const (
	offSetupSects   = 0x1F1
	offVidMode      = 0x1FA
	offBootFlag     = 0x1FE
	offHeader       = 0x202
	offVersion      = 0x206
	offTypeOfLoader = 0x210
	offLoadflags    = 0x211
	offRamdisk      = 0x218
	offRamdiskSize  = 0x21C
	offHeapEnd      = 0x224
	offCmdlinePtr   = 0x228
	offInitrdMax    = 0x22C
	offXloadflags   = 0x236
	offCmdlineSize  = 0x238
	offPrefAddress  = 0x258
	offInitSize     = 0x260
	headEnd         = 0x264

	loadedHigh  = 1 << 0 // loadflags
	canUseHeap  = 1 << 7
	xlfAbove4G  = 1 << 1
	undefLoader = 0xFF // type_of_loader of a boot loader without a number

	oldInitrdMax  = 0x37FFFFFF // before protocol 2.03
	oldCmdlineMax = 255        // before protocol 2.06
)

// kernel adds the kernel, cut into its real-mode code, which is patched, and the
// rest, which is not read before the guest asks for it.
func (b *builder) kernel(cfg Config) error {
	k := cfg.Kernel
	if k == nil {
		return nil
	}
	setup, err := readSetup(k.Image)
	if err != nil {
		return &boot.Error{Part: boot.PartKernel, Err: err}
	}
	size := k.Image.Size() - int64(len(setup))
	if size > math.MaxUint32 {
		return &boot.Error{Part: boot.PartKernel, Err: fmt.Errorf("%d bytes are too many", size)}
	}
	if err := setup.patchCmdline(k.Cmdline); err != nil {
		return &boot.Error{Part: boot.PartCmdline, Err: err}
	}
	initrd, err := setup.placeInitrd(k.Initrd, cfg.LowRAM, setup.kernelEnd(uint64(size)))
	if err != nil {
		return &boot.Error{Part: boot.PartInitrd, Err: err}
	}
	b.key32(keySetupAddr, setupBase)
	b.key32(keySetupSize, uint32(len(setup)))
	b.key(keySetupData, setup)
	b.key32(keyKernelAddr, kernelBase)
	b.key32(keyKernelSize, uint32(size))
	b.image(keyKernelData, io.NewSectionReader(k.Image, int64(len(setup)), size))
	b.key32(keyCmdlineAddr, cmdlineBase)
	b.key32(keyCmdlineSize, uint32(len(k.Cmdline)+1))
	b.key(keyCmdlineData, append([]byte(k.Cmdline), 0))
	b.key32(keyInitrdAddr, initrd)
	if k.Initrd != nil {
		b.key32(keyInitrdSize, uint32(k.Initrd.Size()))
		b.image(keyInitrdData, k.Initrd)
	} else {
		b.key32(keyInitrdSize, 0)
	}
	b.file(kernelROMName, kernelROM())
	return nil
}

func (b *builder) image(key uint16, content boot.Image) {
	b.items = append(b.items, Item{Key: key, Content: content})
}

// setup is the real-mode code of a bzImage, with its header in it.
type setup []byte

// readSetup reads and checks the real-mode code.
func readSetup(image boot.Image) (setup, error) {
	const sector = 512
	if image == nil {
		return nil, errors.New("no file given")
	}
	head := make([]byte, min(image.Size(), headEnd))
	if n, err := image.ReadAt(head, 0); n < len(head) {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	if len(head) < headEnd || string(head[offHeader:offHeader+4]) != "HdrS" || le.Uint16(head[offBootFlag:]) != 0xAA55 {
		return nil, errors.New("not a bzImage, which is the only kind of kernel that firmware boots; " +
			"without os/loader other kinds can be booted directly")
	}
	if v := le.Uint16(head[offVersion:]); v < 0x202 {
		return nil, fmt.Errorf("speaks boot protocol %d.%02d, and 2.02 (Linux 2.4) is the oldest supported", v>>8, v&0xFF)
	}
	if head[offLoadflags]&loadedHigh == 0 {
		return nil, errors.New("a zImage, which is loaded below 1 MiB: build a bzImage")
	}
	sects := int64(head[offSetupSects])
	if sects == 0 {
		sects = 4
	}
	size := (sects + 1) * sector
	switch {
	case size > setupMax:
		return nil, fmt.Errorf("%d bytes of real-mode code are more than %d", size, setupMax)
	case size >= image.Size():
		return nil, fmt.Errorf("the file is cut off: %d bytes of real-mode code in a file of %d", size, image.Size())
	}
	s := make(setup, size)
	if n, err := image.ReadAt(s, 0); n < len(s) {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	s[offTypeOfLoader] = undefLoader
	s[offLoadflags] |= canUseHeap
	le.PutUint16(s[offHeapEnd:], heapEnd-0x200)
	return s, nil
}

func (s setup) version() uint16 { return le.Uint16(s[offVersion:]) }

// patchCmdline notes where the command line is, and the video mode in it, which
// a boot loader has to evaluate.
func (s setup) patchCmdline(cmdline string) error {
	limit := uint64(oldCmdlineMax)
	if s.version() >= 0x206 {
		limit = uint64(le.Uint32(s[offCmdlineSize:]))
	}
	limit = min(limit, cmdlineMax-1)
	switch {
	case strings.IndexByte(cmdline, 0) >= 0:
		return errors.New("contains a zero byte")
	case uint64(len(cmdline)) > limit:
		return fmt.Errorf("has %d bytes, and this kernel takes at most %d", len(cmdline), limit)
	}
	le.PutUint32(s[offCmdlinePtr:], cmdlineBase)
	if mode, ok := videoMode(cmdline); ok {
		le.PutUint16(s[offVidMode:], mode)
	}
	return nil
}

// videoMode evaluates the vga parameter, of which the last counts.
func videoMode(cmdline string) (mode uint16, ok bool) {
	for _, word := range strings.Fields(cmdline) {
		value, found := strings.CutPrefix(word, "vga=")
		if !found {
			continue
		}
		switch value {
		case "normal":
			mode, ok = 0xFFFF, true
		case "ext":
			mode, ok = 0xFFFE, true
		case "ask":
			mode, ok = 0xFFFD, true
		default:
			if v, err := strconv.ParseUint(value, 0, 16); err == nil {
				mode, ok = uint16(v), true
			}
		}
	}
	return mode, ok
}

// firmwareRAM is how much of the end of RAM below 4 GiB is left to the
// firmware, in bytes: SeaBIOS takes up to 16 MiB for its tables and gives back
// what it did not use. A small machine has less to spare, and few tables.
func firmwareRAM(low uint64) uint64 {
	const mib = 1 << 20
	if low >= 128*mib {
		return 16 * mib
	}
	return 1 * mib
}

// kernelEnd is the end of the RAM that the kernel uses until it has read its
// memory map: the file of size bytes, and what it unpacks itself to.
func (s setup) kernelEnd(size uint64) uint64 {
	end := kernelBase + size
	if s.version() < 0x20A {
		return end
	}
	preferred, needs := le.Uint64(s[offPrefAddress:]), uint64(le.Uint32(s[offInitSize:]))
	if preferred > math.MaxUint32 {
		return end
	}
	return max(end, preferred+needs)
}

// placeInitrd finds the highest place for the initial ramdisk that the kernel
// permits, from kernelEnd on, and notes it in the header.
func (s setup) placeInitrd(initrd boot.Image, low, kernelEnd uint64) (uint32, error) {
	if initrd == nil || initrd.Size() == 0 {
		return 0, nil
	}
	limit := uint64(oldInitrdMax)
	if s.version() >= 0x203 {
		limit = uint64(le.Uint32(s[offInitrdMax:]))
	}
	// Such a kernel reads it from anywhere, although it may say 2 GiB.
	if s.version() >= 0x20C && le.Uint16(s[offXloadflags:])&xlfAbove4G != 0 {
		limit = math.MaxUint32
	}
	limit = min(limit+1, low-min(low, firmwareRAM(low)))
	n := uint64(initrd.Size())
	if n > limit || (limit-n)&^(pageSize-1) < kernelEnd {
		return 0, fmt.Errorf("%d bytes do not fit between the kernel, which ends at %#x, and %#x; give the machine more memory",
			n, kernelEnd, limit)
	}
	base := uint32((limit - n) &^ (pageSize - 1))
	le.PutUint32(s[offRamdisk:], base)
	le.PutUint32(s[offRamdiskSize:], uint32(n))
	return base, nil
}
