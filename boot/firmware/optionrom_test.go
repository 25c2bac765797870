package firmware

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKernelROM(t *testing.T) {
	rom := kernelROM()
	if len(rom) != int(rom[2])*512 || sum(rom) != 0 || le.Uint16(rom) != 0xAA55 {
		t.Errorf("%d bytes, sum %d, start % x", len(rom), sum(rom), rom[:4])
	}
	pnp := rom[le.Uint16(rom[0x1A:]):]
	if pnp = pnp[:16*int(pnp[5])]; string(pnp[:4]) != "$PnP" || sum(pnp) != 0 {
		t.Errorf("expansion header % x, sum %d", pnp, sum(pnp))
	}
	text := func(at uint16) string { s, _, _ := strings.Cut(string(rom[at:]), "\x00"); return s }
	if a, b := text(le.Uint16(pnp[0x0E:])), text(le.Uint16(pnp[0x10:])); a != "govmm" || b != "Linux kernel" {
		t.Errorf("by %q: %q", a, b)
	}
	at := int(le.Uint16(pnp[0x1A:]))
	for _, i := range kernelROMCode() {
		if i.at != at {
			t.Fatalf("%q is at %#x, listed at %#x", i.text, at, i.at)
		}
		at += len(i.code)
	}
	if at >= romSize {
		t.Errorf("the code ends at %#x", at)
	}
	// The addresses that the code has in it.
	for _, tt := range []struct {
		at   int
		want uint16
	}{
		{0x77, setupBase >> 4}, {0x8C, setupBase>>4 + 0x20}, {0x60, 0xEC},
	} {
		if got := le.Uint16(rom[tt.at:]); got != tt.want {
			t.Errorf("at %#x: %#x, want %#x", tt.at, got, tt.want)
		}
	}
}

// probe is the real-mode code of a kernel that prints what was loaded: its
// command line, and the texts where kernel and initial ramdisk begin. The exit
// code of QEMU is 1 if the segment registers are right, else 3.
const probe = "" +
	"\x8C\xC8" + //           268         mov ax, cs
	"\x83\xE8\x20" + //       26A         sub ax, 0x20
	"\x8C\xDB" + //           26D         mov bx, ds
	"\x39\xD8" + //           26F         cmp ax, bx
	"\x75\x21" + //           271         jne bad
	"\x8C\xD3" + //           273         mov bx, ss
	"\x39\xD8" + //           275         cmp ax, bx
	"\x75\x1B" + //           277         jne bad
	"\xB8\x00\x20" + //       279         mov ax, 0x2000
	"\x31\xF6" + //           27C         xor si, si
	"\xE8\x17\x00" + //       27E         call print        ; at 0x20000
	"\xB8\xFF\xFF" + //       281         mov ax, 0xFFFF
	"\xBE\x10\x00" + //       284         mov si, 0x10
	"\xE8\x0E\x00" + //       287         call print        ; at 0x100000
	"\xBE\x10\x40" + //       28A         mov si, 0x4010
	"\xE8\x08\x00" + //       28D         call print        ; at 0x104000
	"\xB0\x00" + //           290         mov al, 0
	"\xE6\xF4" + //           292         out 0xF4, al
	"\xB0\x01" + //           294  bad:   mov al, 1
	"\xE6\xF4" + //           296         out 0xF4, al
	"\x50" + //               298  print: push ax
	"\x8E\xC0" + //           299         mov es, ax
	"\x26\x8A\x04" + //       29B  char:  mov al, es:[si]
	"\x46" + //               29E         inc si
	"\x84\xC0" + //           29F         test al, al
	"\x74\x04" + //           2A1         jz end
	"\xE6\xE9" + //           2A3         out 0xE9, al
	"\xEB\xF4" + //           2A5         jmp char
	"\xB0\x0A" + //           2A7  end:   mov al, 10
	"\xE6\xE9" + //           2A9         out 0xE9, al
	"\x58" + //               2AB         pop ax
	"\xC3" //                 2AC         ret

// TestKernelROMBoots boots a kernel in QEMU with our option ROM in place of its
// own: its firmware configuration device has the same items.
func TestKernelROMBoots(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v; install the package qemu-system-x86", err)
	}
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("linuxboot_dma.bin", kernelROM())
	kernel := put("kernel", content(t, bzImage([]byte(probe), []byte("the kernel\x00"), func(s []byte) {
		le.PutUint32(s[offInitrdMax:], 0x104FFF) // which puts the initrd at 0x104000
	})))
	initrd := put("initrd", []byte("the initrd\x00"))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-initrd", initrd}, "the command line\nthe kernel\nthe initrd\n"},
		{nil, "the command line\nthe kernel\n\n"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, qemu, append([]string{
			"-L", dir, "-machine", "pc,accel=tcg", "-nodefaults", "-display", "none", "-m", "32", "-no-reboot",
			"-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-debugcon", "stdio",
			"-kernel", kernel, "-append", "the command line",
		}, tt.args...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 1 {
			t.Errorf("QEMU: %v, %s", err, stderr.String())
		}
		if stdout.String() != tt.want {
			t.Errorf("the kernel found %q, want %q", stdout.String(), tt.want)
		}
	}
}
