package boot

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestParseSetupHeader(t *testing.T) {
	base := modern(make([]byte, 64))
	for _, tt := range []struct {
		name   string
		change func(*testBzImage)
		want   setupHeader
	}{
		{"2.15", func(*testBzImage) {}, setupHeader{
			version: 0x20f, initrdLimit: 2 << 30, alignment: largePageSize, relocatable: true,
			xloadflags: 3, cmdlineSize: 2047, prefAddress: 16 * mib, initSize: 32 * mib}},
		{"2.11", func(k *testBzImage) { k.version = 0x20b }, setupHeader{
			version: 0x20b, initrdLimit: 2 << 30, alignment: largePageSize, relocatable: true,
			cmdlineSize: 2047, prefAddress: 16 * mib, initSize: 32 * mib}},
		{"2.05", func(k *testBzImage) { k.version = 0x205 }, setupHeader{
			version: 0x205, initrdLimit: 2 << 30, alignment: largePageSize, relocatable: true,
			cmdlineSize: 255, prefAddress: mib, initSize: 4 * 1088}},
		{"2.02", func(k *testBzImage) { k.version = 0x202 }, setupHeader{
			version: 0x202, initrdLimit: 0x38000000, alignment: 1,
			cmdlineSize: 255, prefAddress: mib, initSize: 4 * 1088}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := base
			tt.change(&k)
			image := k.build()
			h, err := parseSetupHeader(image, int64(len(image)))
			if err != nil {
				t.Fatal(err)
			}
			if h.setupSize != 2048 || h.sysSize != 1088 || h.code32Start != mib || h.loadflags != loadedHigh {
				t.Errorf("setup %d bytes, code %d at %#x, loadflags %#x", h.setupSize, h.sysSize, h.code32Start, h.loadflags)
			}
			got := *h
			got.raw, got.loadflags, got.setupSize, got.sysSize, got.code32Start = tt.want.raw, 0, 0, 0, 0
			got.payloadOff, got.payloadLen = 0, 0
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			if v := h.kernelVersion(context.Background(), bytes.NewReader(image)); v != testVersion {
				t.Errorf("version %q", v)
			}
		})
	}
}

func TestSetupHeaderDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		off    int
		value  byte
		want   string
		zeroTo int
	}{
		{"boot_flag", offBootFlag, 0, "boot_flag", 0},
		{"header length", offJump + 1, 0x10, "setup header ends at 0x212", 0},
		{"alignment", offAlignment, 3, "kernel_alignment", 0},
		{"syssize", offSyssize, 0, "its header speaks of 2048", 4},
	} {
		image := modern(make([]byte, 64)).build()
		image[tt.off] = tt.value
		clear(image[tt.off+1 : max(tt.off+1, tt.off+tt.zeroTo)])
		if _, err := parseSetupHeader(image, int64(len(image))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Signed kernels have a signature behind the protected-mode code: it is not
// loaded.
func TestSignatureNotLoaded(t *testing.T) {
	image := append(modern(make([]byte, 64)).build(), bytes.Repeat([]byte{0xEE}, 1472)...)
	mem := newMemory(64*mib, 0)
	mem.load(t, mem.config(image))
	if end := mem.low[16*mib+1088]; end != 0 {
		t.Errorf("byte after the kernel is %#x", end)
	}
}

func TestDescribe(t *testing.T) {
	at := func(off int, s string) []byte { return append(make([]byte, off), s...) }
	for _, tt := range []struct {
		head []byte
		want string
	}{
		{nil, "empty"},
		{at(0x24, "\x18\x28\x6f\x01"), "zImage for ARM"},
		{at(0x38, "ARM\x64"), "ARM64"},
		{at(0x38, "RSC\x05"), "RISC-V"},
		{[]byte("MZ and more"), "PE executable"},
		{at(0x1fe, "\x55\xaa"), "boot sector"},
		{[]byte("070701000"), "cpio archive"},
		{[]byte("QFI\xfb"), "qcow2"},
		{[]byte("#!/bin/sh"), "script"},
		{[]byte("<domain>"), "XML"},
		{[]byte(strings.Repeat("root:x:0:0\n", 60)), "text file"},
		{make([]byte, headLen), "zero bytes"},
		{[]byte("\x1f\x8b\x08"), "compressed with gzip"},
		{[]byte("\x01\x02\x03"), "too short"},
	} {
		if got := describe(tt.head, bytes.NewReader(tt.head)); !strings.Contains(got, tt.want) {
			t.Errorf("% x: %q, want %q", tt.head[:min(len(tt.head), 8)], got, tt.want)
		}
	}
}
