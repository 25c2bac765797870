package ide

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
)

func words(data []byte) []uint16 {
	w := make([]uint16, len(data)/2)
	for i := range w {
		w[i] = binary.LittleEndian.Uint16(data[2*i:])
	}
	return w
}

// ataText undoes the byte order of strings.
func ataText(w []uint16) string {
	var b strings.Builder
	for _, v := range w {
		b.WriteByte(byte(v >> 8))
		b.WriteByte(byte(v))
	}
	return strings.TrimRight(b.String(), " ")
}

func (r *rig) identify(cmd uint8) []uint16 {
	r.tb.Helper()
	r.command(cmd, 0, 0)
	r.status(statusReady | statusDRQ)
	data := r.readData(block.SectorSize)
	if s := r.in(regStatus); s != statusReady {
		r.tb.Fatalf("status %#x after the data", s)
	}
	if sum(data) != 0 {
		r.tb.Fatalf("the checksum of the identity is off by %#x", sum(data))
	}
	return words(data)
}

func TestIdentifyDevice(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 64<<20), false)
	defer disk.Close()
	r := newRig(t, [Channels][Units]DriveOptions{{nil, DiskOptions{
		Backend: disk, Serial: "0123456789abcdefghijXYZ", WWN: 0x5001122334455667,
		RotationRate: 7200, PhysicalBlockSize: 4096, Errors: report,
	}}})
	r.on(0, 1)
	w := r.identify(cmdIdentify)
	for _, c := range []struct {
		word int
		want uint16
	}{
		{0, 0x0040}, {1, 130}, {3, 16}, {4, 0x7E00}, {5, 512}, {6, 63}, {20, 3}, {21, 128}, {22, 4}, {47, 0x8010}, {49, 0x0B00}, {53, 7},
		{54, 130}, {55, 16}, {56, 63}, {57, 130 * 16 * 63 & 0xFFFF}, {58, 130 * 16 * 63 >> 16}, {59, 0x0110},
		{60, 0}, {61, 2}, {63, 0x0007}, {64, 3}, {80, 0x01F0},
		{82, 0x4069}, {83, 0x7400}, {84, 0x4103}, {85, 0x4069}, {86, 0x3400}, {87, 0x4103},
		{88, 0x203F}, {93, 0x6300}, {100, 0}, {101, 2}, {102, 0}, {103, 0}, {105, 8}, {106, 0x6003},
		{108, 0x5001}, {109, 0x1223}, {110, 0x3445}, {111, 0x5667},
		{128, 0}, {169, 1}, {209, 0x4000}, {217, 7200},
	} {
		if w[c.word] != c.want {
			t.Errorf("word %d is %#x, want %#x", c.word, w[c.word], c.want)
		}
	}
	for _, c := range []struct {
		from, to int
		want     string
	}{{10, 20, "0123456789abcdefghij"}, {23, 27, "1.0"}, {27, 47, "GOVMM HARDDISK"}} {
		if got := ataText(w[c.from:c.to]); got != c.want {
			t.Errorf("words %d to %d are %q, want %q", c.from, c.to-1, got, c.want)
		}
	}
}

// TestPIO reads and writes with each command, and looks at the blocks of data
// between interrupts.
func TestPIO(t *testing.T) {
	for _, c := range []struct {
		name        string
		read, write uint8
		ext         bool
		lba, n      int
		perBlock    int
	}{
		{"one sector", cmdReadSectors, cmdWriteSectors, false, 5, 1, 1},
		{"several", cmdReadSectors, cmdWriteSectors, false, 100, 7, 1},
		{"256", cmdReadSectors, cmdWriteSectors, false, 1000, 256, 1},
		{"no retries", cmdReadSectorsOnce, cmdWriteSectorsOnce, false, 9, 2, 1},
		{"ext", cmdReadSectorsExt, cmdWriteSectorsExt, true, 77, 300, 1},
		{"multiple", cmdReadMultiple, cmdWriteMultiple, false, 3, 20, 8},
		{"multiple, 256", cmdReadMultiple, cmdWriteMultiple, false, 8, 256, 8},
		{"multiple ext", cmdReadMultipleExt, cmdWriteMultipleExt, true, 64, 300, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, content, _ := newDisk(t)
			r.command(cmdSetMultiple, 0, 8)
			r.ok()
			start := func(cmd uint8) {
				if c.ext {
					r.commandExt(cmd, uint64(c.lba), uint16(c.n))
				} else {
					r.command(cmd, uint32(c.lba), uint8(c.n))
				}
			}
			start(c.read)
			var got []byte
			for left := c.n; left > 0; left -= c.perBlock {
				r.status(statusReady | statusDRQ)
				got = append(got, r.readData(min(left, c.perBlock)*block.SectorSize)...)
			}
			if s := r.in(regStatus); s != statusReady || r.asserted() {
				t.Fatalf("status %#x, interrupt %v after the data", s, r.asserted())
			}
			if !bytes.Equal(got, sectors(content, c.lba, c.n)) {
				t.Fatal("reads something else than is there")
			}

			data := pattern(c.n * block.SectorSize)
			for i := range data {
				data[i] ^= 0x5A
			}
			start(c.write)
			if s := r.altStatus(); s != statusReady|statusDRQ || r.asserted() {
				t.Fatalf("status %#x, interrupt %v before the first block", s, r.asserted())
			}
			for at, size := 0, c.perBlock*block.SectorSize; at < len(data); at += size {
				if at > 0 {
					r.status(statusReady | statusDRQ)
				}
				r.writeData(data[at:min(at+size, len(data))])
			}
			r.ok()
			if !bytes.Equal(sectors(content, c.lba, c.n), data) {
				t.Fatal("writes something else than was given")
			}
		})
	}
}

func TestWideData(t *testing.T) {
	r, content, _ := newDisk(t)
	r.command(cmdReadSectors, 0, 1)
	r.status(statusReady | statusDRQ)
	var got []byte
	for range block.SectorSize / 4 {
		var v [4]byte
		r.ports.Read(r.base, v[:])
		got = append(got, v[:]...)
	}
	if !bytes.Equal(got, sectors(content, 0, 1)) {
		t.Fatal("32-bit reads of Data give something else than is there")
	}
}

func TestCHS(t *testing.T) {
	r, content, _ := newDisk(t)
	read := func(c, h, s int) {
		r.out(regDevice, deviceOnes|uint8(h))
		r.out(regCount, 1)
		r.out(regLow, uint8(s))
		r.out(regMid, uint8(c))
		r.out(regHigh, uint8(c>>8))
		r.out(regStatus, cmdReadSectors)
	}
	read(1, 2, 3)
	r.status(statusReady | statusDRQ)
	if !bytes.Equal(r.readData(512), sectors(content, (1*16+2)*63+2, 1)) {
		t.Error("1/2/3 is another sector")
	}
	for _, bad := range [][3]int{{0, 0, 0}, {0, 0, 64}, {4, 0, 1}} {
		read(bad[0], bad[1], bad[2])
		r.failed(errorIDNF)
	}

	// Another translation: 8 heads, 32 sectors.
	r.out(regDevice, deviceOnes|7)
	r.out(regCount, 32)
	r.out(regStatus, cmdInitializeParams)
	r.ok()
	read(1, 2, 3)
	r.status(statusReady | statusDRQ)
	if !bytes.Equal(r.readData(512), sectors(content, (1*8+2)*32+2, 1)) {
		t.Error("1/2/3 is another sector in the new translation")
	}
	read(0, 8, 1)
	r.failed(errorIDNF)
	if w := r.identify(cmdIdentify); w[54] != diskSectors/256 || w[55] != 8 || w[56] != 32 {
		t.Errorf("the identity has the translation %d/%d/%d", w[54], w[55], w[56])
	}
	r.out(regDevice, deviceOnes|7)
	r.out(regCount, 0)
	r.out(regStatus, cmdInitializeParams)
	r.failed(errorABRT)
}

func TestRange(t *testing.T) {
	r, _, _ := newDisk(t)
	for _, cmd := range []uint8{cmdReadSectors, cmdWriteSectors, cmdReadMultiple, cmdWriteMultiple, cmdReadDMA, cmdWriteDMA, cmdReadVerify} {
		r.command(cmd, diskSectors, 1)
		r.failed(errorIDNF)
		r.command(cmd, diskSectors-1, 2)
		r.failed(errorIDNF)
		r.command(cmd, diskSectors-255, 0)
		r.failed(errorIDNF)
	}
	for _, cmd := range []uint8{cmdReadSectorsExt, cmdWriteSectorsExt, cmdReadDMAExt, cmdWriteDMAExt, cmdReadVerifyExt} {
		r.commandExt(cmd, 1<<47, 1)
		r.failed(errorIDNF)
		r.commandExt(cmd, 1<<48-1, 0)
		r.failed(errorIDNF)
		r.commandExt(cmd, 0, 0) // 65536 sectors
		r.failed(errorIDNF)
	}
}

func TestVerify(t *testing.T) {
	r, _, faulty := newDisk(t)
	r.command(cmdReadVerify, 10, 200)
	r.ok()
	if lba := r.in(regLow); lba != 209 {
		t.Errorf("the last sector verified is %d", lba)
	}
	faulty.Add(blocktest.Rule{Op: block.Read, From: 50 * 512, To: 51 * 512, Err: errDisk})
	r.command(cmdReadVerify, 10, 200)
	r.failed(errorUNC)
	if lba := r.in(regLow); lba != 50 {
		t.Errorf("the bad sector is %d, want 50", lba)
	}
}

// TestCommands is those that answer at once.
func TestCommands(t *testing.T) {
	r, _, _ := newDisk(t)
	for _, c := range []struct {
		name     string
		cmd      uint8
		features uint8
		count    uint8
		err      uint8
	}{
		{"nop", cmdNOP, 0, 0, errorABRT},
		{"device reset", cmdDeviceReset, 0, 0, errorABRT},
		{"packet", cmdPacket, 0, 0, errorABRT},
		{"identify packet device", cmdIdentifyPacket, 0, 0, errorABRT},
		{"security set password", 0xF1, 0, 0, errorABRT},
		{"CFA erase", 0xC0, 0, 0, errorABRT},
		{"recalibrate", cmdRecalibrate, 0, 0, 0},
		{"seek", cmdSeek, 0, 0, 0},
		{"idle", cmdIdle, 0, 0, 0},
		{"standby", cmdStandby, 0, 0, 0},
		{"sleep", cmdSleep, 0, 0, 0},
		{"flush", cmdFlushCache, 0, 0, 0},
		{"flush ext", cmdFlushCacheExt, 0, 0, 0},
		{"multiple 3", cmdSetMultiple, 0, 3, errorABRT},
		{"multiple 32", cmdSetMultiple, 0, 32, errorABRT},
		{"multiple 16", cmdSetMultiple, 0, 16, 0},
		{"PIO 4", cmdSetFeatures, featureTransferMode, 0x0C, 0},
		{"PIO 5", cmdSetFeatures, featureTransferMode, 0x0D, errorABRT},
		{"MWDMA 2", cmdSetFeatures, featureTransferMode, 0x22, 0},
		{"UDMA 6", cmdSetFeatures, featureTransferMode, 0x46, errorABRT},
		{"look-ahead off", cmdSetFeatures, featureLookAheadOff, 0, 0},
		{"unknown feature", cmdSetFeatures, 0x77, 0, errorABRT},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.tb = t
			r.out(regError, c.features)
			r.command(c.cmd, 0, c.count)
			if c.err != 0 {
				r.failed(c.err)
			} else {
				r.ok()
			}
		})
	}
	r.tb = t
	w := r.identify(cmdIdentify)
	if w[63] != 0x0407 || w[88] != 0x003F {
		t.Errorf("words 63 and 88 are %#x and %#x with MWDMA 2", w[63], w[88])
	}
	if w[85]&set82LookAhead != 0 {
		t.Error("look-ahead is still on")
	}
	r.command(cmdSetMultiple, 0, 0)
	r.ok()
	r.command(cmdReadMultiple, 0, 1)
	r.failed(errorABRT)
}

func TestPower(t *testing.T) {
	r, _, faulty := newDisk(t)
	check := func(want PowerMode) {
		t.Helper()
		r.command(cmdCheckPowerMode, 0, 0)
		r.ok()
		if got := r.in(regCount); got != uint8(want) {
			t.Errorf("power mode %#x, want %#x", got, want)
		}
	}
	check(PowerActive)
	r.command(cmdIdleImmediate, 0, 0)
	r.ok()
	check(PowerIdle)
	r.command(cmdStandbyImmediate, 0, 0)
	r.ok()
	check(PowerStandby)
	if faulty.Count(block.Flush) != 1 {
		t.Error("the disk goes to standby without a flush")
	}
	r.command(cmdReadVerify, 0, 1)
	r.ok()
	check(PowerActive)
}

func TestWriteCache(t *testing.T) {
	r, _, faulty := newDisk(t)
	for _, c := range []struct {
		feature uint8
		on      bool
	}{{featureWriteCacheOff, false}, {featureWriteCacheOn, true}, {featureWriteCacheOff, false}} {
		r.out(regError, c.feature)
		r.command(cmdSetFeatures, 0, 0)
		r.ok()
		if got := r.identify(cmdIdentify)[85]&set82WriteCache != 0; got != c.on || faulty.WriteCache() != c.on {
			t.Errorf("the write cache is shown as %v and is %v, want %v", got, faulty.WriteCache(), c.on)
		}
	}
	r.c.Reset()
	if !faulty.WriteCache() {
		t.Error("the write cache is off after a reset")
	}
}

func TestReadNativeMax(t *testing.T) {
	r, _, _ := newDisk(t)
	r.command(cmdReadNativeMax, 0, 0)
	r.ok()
	if got := int(r.in(regLow)) | int(r.in(regMid))<<8 | int(r.in(regHigh))<<16 | int(r.in(regDevice)&15)<<24; got != diskSectors-1 {
		t.Errorf("the last sector is %d", got)
	}
	r.commandExt(cmdReadNativeMaxExt, 0, 0)
	r.ok()
	r.control(controlHOB)
	high := r.in(regLow)
	r.out(regCount, 0) // leaves HOB
	if got := int(r.in(regLow)) | int(r.in(regMid))<<8; high != 0 || got != diskSectors-1 {
		t.Errorf("the last sector is %d, upper half %d", got, high)
	}
}

func TestHOB(t *testing.T) {
	r, _, _ := newDisk(t)
	for reg := uint64(regCount); reg <= regHigh; reg++ {
		r.out(reg, 0x10+uint8(reg))
		r.out(reg, 0x20+uint8(reg))
	}
	r.control(controlHOB)
	for reg := uint64(regCount); reg <= regHigh; reg++ {
		if got := r.in(reg); got != 0x10+uint8(reg) {
			t.Errorf("register %d with HOB is %#x", reg, got)
		}
	}
	r.control(0)
	for reg := uint64(regCount); reg <= regHigh; reg++ {
		if got := r.in(reg); got != 0x20+uint8(reg) {
			t.Errorf("register %d is %#x", reg, got)
		}
	}
}

func TestReadOnly(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 1<<20), true)
	defer disk.Close()
	r := newRig(t, [Channels][Units]DriveOptions{{DiskOptions{Backend: disk, Errors: report}}})
	for _, cmd := range []uint8{cmdWriteSectors, cmdWriteMultiple, cmdWriteDMA} {
		r.command(cmd, 0, 1)
		r.failed(errorABRT)
	}
	if w := r.identify(cmdIdentify); w[169] != 0 {
		t.Error("a read-only disk offers TRIM")
	}
}

func TestResize(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 1<<20), false)
	defer disk.Close()
	r := newRig(t, [Channels][Units]DriveOptions{{DiskOptions{Backend: disk, Errors: report}}})
	disk.Resize(2 << 20)
	if w := r.identify(cmdIdentify); w[60] != 4096 {
		t.Errorf("the disk has %d sectors", w[60])
	}
	disk.Resize(0)
	r.command(cmdReadNativeMax, 0, 0)
	r.drain()
	r.command(cmdReadSectors, 0, 1)
	r.failed(errorIDNF)
}

func TestSMART(t *testing.T) {
	r, _, _ := newDisk(t)
	smart := func(sub, low, count uint8) {
		r.out(regDevice, deviceOnes)
		r.out(regError, sub)
		r.out(regCount, count)
		r.out(regLow, low)
		r.out(regMid, smartKeyMid)
		r.out(regHigh, smartKeyHigh)
		r.out(regStatus, cmdSMART)
	}
	page := func(sub, low uint8, summed bool) []byte {
		t.Helper()
		smart(sub, low, 1)
		r.status(statusReady | statusDRQ)
		data := r.readData(512)
		if summed && sum(data) != 0 {
			t.Errorf("the checksum of page %#x/%#x is wrong", sub, low)
		}
		return data
	}
	smart(smartReturnStatus, 0, 0)
	r.ok()
	if m, h := r.in(regMid), r.in(regHigh); m != smartKeyMid || h != smartKeyHigh {
		t.Errorf("status %#x %#x is a failure", m, h)
	}
	if d := page(smartReadData, 0, true); d[2] != 1 || d[5] != 100 {
		t.Errorf("the first attribute is %v", d[2:14])
	}
	if d := page(smartReadThresholds, 0, true); d[2] != 1 || d[3] != 6 {
		t.Errorf("the first threshold is %v", d[2:14])
	}
	smart(smartExecuteTest, 2, 0)
	r.ok()
	smart(smartExecuteTest, 99, 0)
	r.failed(errorABRT)
	page(smartReadLog, logDirectory, false)
	page(smartReadLog, logErrors, true)
	if d := page(smartReadLog, logSelfTest, true); d[2] != 2 || d[508] != 1 {
		t.Error("the self-test is not in the log")
	}
	smart(smartReadLog, 0x77, 1)
	r.failed(errorABRT)
	smart(smartAutosave, 0, 0xF1)
	r.ok()
	smart(smartAutosave, 0, 0x33)
	r.failed(errorABRT)
	smart(smartDisable, 0, 0)
	r.ok()
	smart(smartReturnStatus, 0, 0)
	r.failed(errorABRT)
	if w := r.identify(cmdIdentify); w[85]&set82SMART != 0 {
		t.Error("SMART is still on")
	}
	smart(smartEnable, 0, 0)
	r.ok()
	r.out(regError, smartReturnStatus) // without the key
	r.command(cmdSMART, 0, 0)
	r.failed(errorABRT)
}

func TestGeometry(t *testing.T) {
	for _, c := range []struct {
		sectors uint64
		want    CHS
	}{
		{1, CHS{2, 16, 63}},
		{100 << 11, CHS{203, 16, 63}},
		{16383 * 16 * 63, CHS{16383, 16, 63}},
		{1 << 40, CHS{16383, 16, 63}},
	} {
		if got := Geometry(c.sectors); got != c.want {
			t.Errorf("Geometry(%d) = %v, want %v", c.sectors, got, c.want)
		}
	}
	disk := blocktest.NewMemory(make([]byte, 1<<20), false)
	defer disk.Close()
	own := CHS{Cylinders: 100, Heads: 4, Sectors: 17}
	r := newRig(t, [Channels][Units]DriveOptions{{DiskOptions{Backend: disk, Geometry: own, Errors: report}}})
	if g, ok := r.c.Geometry(0, 0); !ok || g != own {
		t.Errorf("geometry %v, %v", g, ok)
	}
	for _, at := range [][2]int{{0, 1}, {1, 0}, {-1, 0}, {0, 2}} {
		if _, ok := r.c.Geometry(at[0], at[1]); ok {
			t.Errorf("there is a disk at %v", at)
		}
	}
}

func TestOptions(t *testing.T) {
	disk := blocktest.NewMemory(make([]byte, 1<<20), false)
	defer disk.Close()
	tiny := blocktest.NewMemory(nil, false)
	defer tiny.Close()
	r := newRig(t, [Channels][Units]DriveOptions{})
	for _, c := range []struct {
		drive DriveOptions
		want  string
	}{
		{DiskOptions{}, "no back end"},
		{DiskOptions{Backend: tiny, Errors: report}, "too few"},
		{DiskOptions{Backend: disk}, "OnError"},
		{DiskOptions{Backend: disk, Errors: ErrorOptions{Policy: 9}}, "unknown error policy"},
		{DiskOptions{Backend: disk, Errors: report, PhysicalBlockSize: 1000}, "physical block size"},
		{DiskOptions{Backend: disk, Errors: report, Geometry: CHS{1, 17, 1}}, "geometry"},
		{CDROMOptions{Backend: tiny, Errors: report}, "no block"},
		{CDROMOptions{}, "OnError"},
	} {
		_, err := New(Options{Memory: r.ram, Drives: [Channels][Units]DriveOptions{{}, {nil, c.drive}}})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "channel 1, unit 1") {
			t.Errorf("%+v: %v, want %q", c.drive, err, c.want)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("New works without memory")
	}
}
