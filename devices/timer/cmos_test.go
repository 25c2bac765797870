package timer

import (
	"fmt"
	"strings"
	"testing"
)

// TestCMOSHardware compares CMOS RAM with what firmware expects for a machine.
func TestCMOSHardware(t *testing.T) {
	for _, tt := range []struct {
		name string
		cmos CMOS
		want string // bytes that are not 0, apart from sizes of memory and the sum
	}{
		{"nothing", CMOS{}, "14:02"},
		{"processors", CMOS{CPUs: 4}, "14:02 5f:03"},
		{"256 processors", CMOS{CPUs: 256}, "14:02 5f:ff"},
		{"too many processors", CMOS{CPUs: 257}, "14:02"},
		{"mouse", CMOS{Mouse: true}, "14:06"},
		{"drive A", CMOS{Floppies: [2]FloppyType{Floppy1440}}, "10:40 14:03"},
		{"drive B only", CMOS{Floppies: [2]FloppyType{1: Floppy1200}}, "10:02 14:03"},
		{"two drives", CMOS{Floppies: [2]FloppyType{Floppy2880, Floppy720}}, "10:53 14:43"},
		{"boot order", CMOS{Boot: [3]BootDevice{BootNetwork, BootDisk, BootCDROM}}, "14:02 38:30 3d:24"},
		{"no check", CMOS{Boot: [3]BootDevice{BootFloppy}, NoFloppyCheck: true}, "14:02 38:01 3d:01"},
		{"first disk", CMOS{Disks: [4]DiskGeometry{{Cylinders: 0x1234, Heads: 16, Sectors: 63, Translation: TranslateLBA}}},
			"12:f0 14:02 19:2f 1b:34 1c:12 1d:10 1e:ff 1f:ff 20:c8 21:34 22:12 23:3f 39:01"},
		{"second disk", CMOS{Disks: [4]DiskGeometry{1: {Cylinders: 615, Heads: 4, Sectors: 17}}},
			"12:0f 14:02 1a:2f 24:67 25:02 26:04 27:ff 28:ff 29:c0 2a:67 2b:02 2c:11"},
		{"secondary channel", CMOS{Disks: [4]DiskGeometry{
			2: {Cylinders: 1, Heads: 1, Sectors: 1, Translation: TranslateLarge},
			3: {Cylinders: 1, Heads: 1, Sectors: 1, Translation: TranslateRECHS},
		}}, "14:02 39:e0"},
	} {
		r := newRTCRig(afternoon, RTCOptions{CMOS: tt.cmos})
		var got []string
		for i := uint8(cmosFirst); i < 0x80; i++ {
			if v := r.get(i); v != 0 && i != cmosSum+1 && i != cmosSum && i != regCentury {
				got = append(got, fmt.Sprintf("%02x:%02x", i, v))
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s, tt.want)
		}
		var sum uint16
		for i := uint8(cmosSumFirst); i <= cmosSumLast; i++ {
			sum += uint16(r.get(i))
		}
		if got := uint16(r.get(cmosSum))<<8 | uint16(r.get(cmosSum+1)); got != sum {
			t.Errorf("%s: checksum %#x, want %#x", tt.name, got, sum)
		}
	}
}
