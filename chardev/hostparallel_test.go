package chardev

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestHostParallel has a driver that records what it is asked for.
func TestHostParallel(t *testing.T) {
	var asked []uint
	var wrote []byte
	var fail error
	h := newHostParallel(HostParallelOptions{Options: Options{Name: "parallel0"}}, func(request uint, arg unsafe.Pointer) error {
		asked = append(asked, request)
		switch request {
		case ppReadStatus:
			*(*byte)(arg) = 0xd8
		case ppReadData:
			*(*byte)(arg) = 0x5a
		case ppWriteData, ppWriteControl:
			wrote = append(wrote, *(*byte)(arg))
		}
		return fail
	})
	h.Attach(newFrontEnd())
	h.WriteData(7)
	h.WriteControl(0xfc) // with DIR and IRQEN
	h.WriteControl(0xcd)
	if got := []byte{h.ReadStatus(), h.ReadData()}; !slices.Equal(got, []byte{0xd8, 0x5a}) {
		t.Errorf("read %x", got)
	}
	if !slices.Equal(wrote, []byte{7, 0x0c, 0x0d}) {
		t.Errorf("wrote %x", wrote)
	}
	fail = unix.EIO
	if got := h.ReadStatus(); got != 0xff {
		t.Errorf("status %#x of a port that is gone", got)
	}
	fail = nil
	if n := h.Write([]byte("abc")); n != 3 {
		t.Errorf("took %d bytes", n)
	}
	mustClose(t, h)
	want := []uint{ppWriteData, ppDataDir, ppWriteControl, ppDataDir, ppWriteControl, ppReadStatus, ppReadData, ppReadStatus, ppRelease}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %#x, want %#x", asked, want)
	}
}

func TestHostParallelErrors(t *testing.T) {
	for path, want := range map[string]string{
		"/dev/parport99": "no such file or directory (a parallel port is /dev/parport0",
		"/dev/null":      "/dev/null: it is not a parallel port",
	} {
		noLeaks(t)
		if _, err := OpenHostParallel(HostParallelOptions{Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}
