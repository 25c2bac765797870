package boot

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/govmm/govmm/boot/payload"
)

// The setup header of a bzImage, from Documentation/arch/x86/boot.rst. Offsets
// are those in the file, which are also those in boot_params:
//
//	0x1f1  1  setup_sects         sectors of real-mode code less one; 0 means 4
//	0x1f4  4  syssize             protected-mode code in 16-byte units   2.04
//	0x1fe  2  boot_flag           0xAA55
//	0x200  2  jump                its second byte + 0x202 ends the header
//	0x202  4  header              "HdrS"
//	0x206  2  version             of the protocol
//	0x20e  2  kernel_version      where a string is, less 0x200
//	0x210  1  type_of_loader
//	0x211  1  loadflags
//	0x214  4  code32_start        32-bit entry and default load address
//	0x218  8  ramdisk_image, ramdisk_size
//	0x224  2  heap_end_ptr                                               2.01
//	0x228  4  cmd_line_ptr                                               2.02
//	0x22c  4  initrd_addr_max                                            2.03
//	0x230  4  kernel_alignment                                           2.05
//	0x234  1  relocatable_kernel                                         2.05
//	0x236  2  xloadflags                                                 2.12
//	0x238  4  cmdline_size                                               2.06
//	0x248  8  payload_offset, payload_length                             2.08
//	0x250  8  setup_data                                                 2.09
//	0x258  8  pref_address                                               2.10
//	0x260  4  init_size                                                  2.10
const (
	offSetupSects    = 0x1f1
	offSyssize       = 0x1f4
	offVidMode       = 0x1fa
	offBootFlag      = 0x1fe
	offJump          = 0x200
	offHeader        = 0x202
	offVersion       = 0x206
	offKernelVersion = 0x20e
	offTypeOfLoader  = 0x210
	offLoadflags     = 0x211
	offCode32Start   = 0x214
	offRamdiskImage  = 0x218
	offRamdiskSize   = 0x21c
	offHeapEnd       = 0x224
	offCmdlinePtr    = 0x228
	offInitrdMax     = 0x22c
	offAlignment     = 0x230
	offRelocatable   = 0x234
	offXloadflags    = 0x236
	offCmdlineSize   = 0x238
	offPayload       = 0x248
	offPayloadLen    = 0x24c
	offSetupData     = 0x250
	offPrefAddress   = 0x258
	offInitSize      = 0x260

	// headLen is how much of a file is looked at to tell what it is, in
	// bytes: the room that boot_params has for the header.
	headLen = 0x290

	headerMagic = "HdrS"
	bootFlag    = 0xAA55
	sectorSize  = 512

	loadedHigh = 1 << 0 // loadflags
	kaslrFlag  = 1 << 1
	canUseHeap = 1 << 7

	xlfKernel64 = 1 << 0 // xloadflags
	xlfAbove4G  = 1 << 1

	entry64Offset = 0x200 // of the 64-bit entry in the protected-mode code

	oldestProtocol = 0x202
	oldInitrdMax   = 0x37FFFFFF // before protocol 2.03
	oldCmdlineMax  = 255        // before protocol 2.06
)

// setupHeader is a setup header with the defaults filled in of protocols that
// are too old to have a field.
type setupHeader struct {
	raw         [headLen]byte // from 0x1f1 on; zero before and after
	version     uint16
	loadflags   uint8
	setupSize   int64 // bytes of real-mode code in the file
	sysSize     int64 // bytes of protected-mode code in the file
	code32Start uint64
	initrdLimit uint64 // first address that the initrd may not touch
	alignment   uint64
	relocatable bool
	xloadflags  uint16
	cmdlineSize int
	payloadOff  int64 // in the file
	payloadLen  int64
	prefAddress uint64
	initSize    uint64
}

func isBzImage(head []byte) bool {
	return len(head) >= offVersion+2 && string(head[offHeader:offHeader+4]) == headerMagic
}

// parseSetupHeader decodes and checks the header of a bzImage of size bytes.
func parseSetupHeader(head []byte, size int64) (*setupHeader, error) {
	h := &setupHeader{}
	end := min(offHeader+int(head[offJump+1]), len(head), headLen)
	if end < offCmdlinePtr {
		return nil, fmt.Errorf("bzImage is truncated or damaged: its setup header ends at %#x", end)
	}
	copy(h.raw[offSetupSects:], head[offSetupSects:end])
	le := binary.LittleEndian
	u16 := func(off int) uint16 { return le.Uint16(h.raw[off:]) }
	u32 := func(off int) uint32 { return le.Uint32(h.raw[off:]) }
	since := func(version uint16) bool { return h.version >= version }

	h.version = u16(offVersion)
	h.loadflags = h.raw[offLoadflags]
	if u16(offBootFlag) != bootFlag {
		return nil, fmt.Errorf("bzImage is damaged: boot_flag is %#x, want %#x", u16(offBootFlag), bootFlag)
	}
	if !since(oldestProtocol) {
		return nil, fmt.Errorf("kernel speaks boot protocol %s, and 2.02 (Linux 2.4) is the oldest supported", h.protocol())
	}
	if h.loadflags&loadedHigh == 0 {
		return nil, errors.New("a zImage, which is loaded below 1 MiB by a real-mode boot loader: build a bzImage")
	}
	sects := int64(h.raw[offSetupSects])
	if sects == 0 {
		sects = 4
	}
	h.setupSize = (sects + 1) * sectorSize
	if size <= h.setupSize {
		return nil, fmt.Errorf("bzImage is truncated: %d bytes, and its real-mode code alone has %d", size, h.setupSize)
	}
	h.sysSize = size - h.setupSize
	if since(0x204) {
		// The unit rounds up, and signed kernels have a signature behind.
		want := int64(u32(offSyssize)) * 16
		if want == 0 || want > h.sysSize+15 {
			return nil, fmt.Errorf("bzImage is truncated: %d bytes, and its header speaks of %d", size, h.setupSize+want)
		}
		h.sysSize = min(want, h.sysSize)
	}
	h.code32Start = uint64(u32(offCode32Start))
	h.initrdLimit = oldInitrdMax + 1
	if since(0x203) {
		h.initrdLimit = uint64(u32(offInitrdMax)) + 1
	}
	h.alignment = 1
	if since(0x205) && h.raw[offRelocatable] != 0 {
		h.relocatable = true
		h.alignment = uint64(u32(offAlignment))
		if h.alignment < pageSize || h.alignment&(h.alignment-1) != 0 {
			return nil, fmt.Errorf("bzImage is damaged: kernel_alignment is %#x", h.alignment)
		}
	}
	h.cmdlineSize = oldCmdlineMax
	if since(0x206) {
		h.cmdlineSize = int(u32(offCmdlineSize))
	}
	if since(0x208) {
		h.payloadOff, h.payloadLen = int64(u32(offPayload))+h.setupSize, int64(u32(offPayloadLen))
	}
	// Kernels before 2.10 do not say how much they need while they start.
	h.prefAddress, h.initSize = oneMiB, uint64(h.sysSize)*4
	if since(0x20a) {
		h.prefAddress, h.initSize = le.Uint64(h.raw[offPrefAddress:]), uint64(u32(offInitSize))
		h.prefAddress = max(h.prefAddress, oneMiB)
	}
	h.initSize = max(h.initSize, uint64(h.sysSize))
	if since(0x20c) {
		h.xloadflags = u16(offXloadflags)
	}
	return h, nil
}

// newSetupHeader returns the header of a kernel that comes without one, as
// vmlinux does.
func newSetupHeader() *setupHeader {
	h := &setupHeader{version: 0x20c, loadflags: loadedHigh}
	le := binary.LittleEndian
	le.PutUint16(h.raw[offBootFlag:], bootFlag)
	copy(h.raw[offHeader:], headerMagic)
	le.PutUint16(h.raw[offVersion:], h.version)
	le.PutUint32(h.raw[offAlignment:], largePageSize)
	return h
}

// protocol returns the protocol version as boot.rst writes it, like 2.15.
func (h *setupHeader) protocol() string {
	return fmt.Sprintf("%d.%02d", h.version>>8, h.version&0xFF)
}

func (h *setupHeader) is64() bool { return h.xloadflags&xlfKernel64 != 0 }

// kernelVersion reads the version string in the real-mode code.
func (h *setupHeader) kernelVersion(ctx context.Context, file Image) string {
	at := int64(binary.LittleEndian.Uint16(h.raw[offKernelVersion:]))
	if at == 0 || at+sectorSize >= h.setupSize {
		return ""
	}
	buf := make([]byte, min(256, h.setupSize-at-sectorSize))
	if err := payload.ReadAt(ctx, file, buf, at+sectorSize); err != nil {
		return ""
	}
	s, _, found := bytes.Cut(buf, []byte{0})
	if !found || bytes.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return string(s)
}

// loadBzImage loads a bzImage, of which head is the beginning.
func (l *loader) loadBzImage(ctx context.Context, head []byte) error {
	h, err := parseSetupHeader(head, l.Kernel.Size())
	if err != nil {
		return err
	}
	l.result.Version = h.kernelVersion(ctx, l.Kernel)
	if err := l.writeCmdline(h.cmdlineSize); err != nil {
		return err
	}
	done, err := l.loadUnpacked(ctx, h)
	if done || err != nil {
		return err
	}
	return l.loadPacked(ctx, h)
}

// loadPacked loads the protected-mode code as it is; the guest unpacks it.
func (l *loader) loadPacked(ctx context.Context, h *setupHeader) error {
	// A relocatable kernel unpacks itself where it is loaded, any other at
	// prefAddress, from 1 MiB.
	w := window{n: h.initSize, align: h.alignment, minimum: h.prefAddress, limit: HighBase}
	if !h.relocatable {
		if h.prefAddress > HighBase {
			return fmt.Errorf("bzImage is damaged: pref_address is %#x", h.prefAddress)
		}
		w = window{n: h.prefAddress - oneMiB + h.initSize, align: 1, minimum: oneMiB, limit: HighBase}
	}
	base, ok := l.arena.lowest(w)
	if !ok || !h.relocatable && base != oneMiB {
		return fmt.Errorf("needs %d bytes of RAM at %#x to start, and the machine has %d bytes below 4 GiB: "+
			"give the machine more memory", w.n, w.minimum, l.LowRAM)
	}
	if err := l.arena.claim(base, w.n); err != nil {
		return err
	}
	l.result.Kernel = Range{base, w.n}
	if err := l.placeInitrd(ctx, h.initrdTop(), h.initrdAbove4G()); err != nil {
		return err
	}
	dst, err := l.mem.Slice(base, uint64(h.sysSize))
	if err != nil {
		return err
	}
	if err := payload.ReadAt(ctx, l.Kernel, dst, h.setupSize); err != nil {
		return err
	}
	if h.relocatable {
		binary.LittleEndian.PutUint32(h.raw[offCode32Start:], uint32(base))
		h.code32Start = base
	}
	if err := l.writeBootParams(h, SetupDataBase); err != nil {
		return err
	}
	if h.is64() {
		return l.startLinux(Linux64, base+entry64Offset)
	}
	if at := h.code32Start; at < base || at-base >= uint64(h.sysSize) {
		return fmt.Errorf("bzImage is damaged: its entry point %#x is outside the kernel at %#x", at, base)
	}
	return l.startLinux(Linux32, h.code32Start)
}

// initrdTop returns the address below 4 GiB that the initrd must stay under.
func (h *setupHeader) initrdTop() uint64 {
	if h.initrdAbove4G() {
		return HighBase
	}
	return h.initrdLimit
}

// initrdAbove4G tells whether the kernel takes an initrd at any address. It
// is a promise for the 64-bit entry only.
func (h *setupHeader) initrdAbove4G() bool {
	return h.is64() && h.xloadflags&xlfAbove4G != 0
}

// packedPayload describes the compressed kernel in a bzImage.
type packedPayload struct {
	format payload.Format
	data   *io.SectionReader
	size   int64 // unpacked, bytes
}

// findPayload finds the payload and how large it unpacks. The build appends
// the unpacked size, 32 bits, to every format; gzip has it of its own.
func (h *setupHeader) findPayload(ctx context.Context, file Image) (packedPayload, error) {
	end := h.payloadOff + h.payloadLen
	if h.payloadLen < payload.DetectLen+4 || end > h.setupSize+h.sysSize {
		return packedPayload{}, fmt.Errorf("its payload of %d bytes at offset %d is not in the file", h.payloadLen, h.payloadOff)
	}
	var magic [payload.DetectLen]byte
	var size [4]byte
	if err := payload.ReadAt(ctx, file, magic[:], h.payloadOff); err != nil {
		return packedPayload{}, err
	}
	if err := payload.ReadAt(ctx, file, size[:], end-4); err != nil {
		return packedPayload{}, err
	}
	p := packedPayload{
		format: payload.Detect(magic[:]),
		size:   int64(binary.LittleEndian.Uint32(size[:])),
	}
	n := h.payloadLen
	switch p.format {
	case payload.ELF:
		p.size = n
	case payload.Gzip:
	default:
		n -= 4
	}
	p.data = io.NewSectionReader(file, h.payloadOff, n)
	return p, nil
}

// startLinux sets the processor state of a Linux entry: RSI has the address of
// boot_params, all other registers are zero.
func (l *loader) startLinux(p Protocol, rip uint64) error {
	l.result.Protocol = p
	mode := Protected32
	if p == Linux64 {
		mode = Long64
		if err := writeIdentityTables(l.mem); err != nil {
			return fmt.Errorf("page tables: %w", err)
		}
	}
	l.result.Entry = flatEntry(mode, rip)
	l.result.Entry.RSI = ZeroPageBase
	return nil
}
