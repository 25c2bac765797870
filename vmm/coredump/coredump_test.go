package coredump

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// machine has two processors and two regions, mostly empty.
func machine() Machine {
	low, high := make([]byte, 4<<20), make([]byte, 3<<20)
	copy(low[0x1000:], "the first region")
	copy(low[len(low)-4:], "end.")
	copy(high[2<<20+7:], "the second region")
	m := Machine{CPUs: make([]CPU, 2), Regions: []Region{{0, low}, {1 << 32, high}}}
	m.CPUs[0] = CPU{RAX: 0x1111, RIP: 0x1000, RSP: 0x2000, RFLAGS: 2, CS: Segment{Selector: 0x10, Flags: 0xa09b00}, CR3: 0x3000}
	m.CPUs[1] = CPU{R15: 0xF0F, RIP: 0xFFFFFFFF81000000, RBX: 0xB, CR0: 1, CR2: 2, CR3: 3, CR4: 4, KernelGSBase: 0x6B, IDT: Segment{Base: 0x1D7, Limit: 0xFFF}}
	return m
}

func dump(t *testing.T, o Options) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "core")
	if err := WriteFile(t.Context(), name, machine(), o); err != nil {
		t.Fatal(err)
	}
	return name
}

// check reads a core file with another reader and compares the regions.
func check(t *testing.T, r io.ReaderAt) {
	t.Helper()
	f, err := elf.NewFile(r)
	if err != nil {
		t.Fatal(err)
	}
	m := machine()
	if f.Type != elf.ET_CORE || f.Machine != elf.EM_X86_64 || len(f.Progs) != 1+len(m.Regions) {
		t.Fatalf("header %+v with %d segments", f.FileHeader, len(f.Progs))
	}
	for i, region := range m.Regions {
		p := f.Progs[i+1]
		if p.Type != elf.PT_LOAD || p.Paddr != region.GPA || p.Vaddr != region.GPA || p.Off%pageSize != 0 {
			t.Errorf("segment %+v", p.ProgHeader)
		}
		got, err := io.ReadAll(p.Open())
		if err != nil || !bytes.Equal(got, region.Memory) {
			t.Errorf("region %d differs (%d bytes, %v)", i, len(got), err)
		}
	}
}

func TestFile(t *testing.T) {
	var done []uint64
	name := dump(t, Options{Progress: func(n uint64) { done = append(done, n) }})
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	check(t, f)
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Blocks*512 > 64<<10 || st.Size < 7<<20 || st.Mode&0o777 != 0o600 {
		t.Errorf("the file has %d bytes, takes %d, mode %o", st.Size, st.Blocks*512, st.Mode&0o777)
	}
	if len(done) != 7 || done[0] != 1<<20 || done[6] != machine().Size() {
		t.Errorf("progress %v", done)
	}
}

// A file that ends in a hole has its size nevertheless.
func TestEndsInHole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "core")
	m := Machine{Regions: []Region{{0, make([]byte, 2*pageSize)}}}
	if err := WriteFile(t.Context(), name, m, Options{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Size() != 3*pageSize {
		t.Errorf("%v, %v", info.Size(), err)
	}
}

func TestCompressed(t *testing.T) {
	name := dump(t, Options{Compress: true})
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	check(t, bytes.NewReader(plain))
	if len(data) > 32<<10 {
		t.Errorf("compressed to %d bytes", len(data))
	}
}

// A stream has no holes, and the same content.
func TestStream(t *testing.T) {
	var b bytes.Buffer
	if err := Write(t.Context(), &b, machine(), Options{}); err != nil {
		t.Fatal(err)
	}
	check(t, bytes.NewReader(b.Bytes()))
}

// What is left of a dump that fails is nothing, but for what was there before.
func TestFails(t *testing.T) {
	reason := errors.New("enough of it")
	ctx, cancel := context.WithCancelCause(t.Context())
	name := filepath.Join(t.TempDir(), "core")
	err := WriteFile(ctx, name, machine(), Options{Progress: func(uint64) { cancel(reason) }})
	if !errors.Is(err, reason) || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	err = WriteFile(t.Context(), "/dev/full", machine(), Options{})
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("full: %v", err)
	}
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Error(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(t.Context(), fifo, machine(), Options{}); !errors.Is(err, unix.ENXIO) {
		t.Errorf("a pipe that nobody reads: %v", err)
	}
}

func run(t *testing.T, pkg, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("the package %s is missing: %v", pkg, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBUGINFOD_URLS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func want(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%q is missing in\n%s", p, got)
		}
	}
}

func TestReadelf(t *testing.T) {
	out := run(t, "binutils", "readelf", "--wide", "-h", "-l", "-n", dump(t, Options{}))
	want(t, out, "CORE (Core file)", "Advanced Micro Devices X86-64", "NT_PRSTATUS", "0x0000000100000000 0x0000000100000000 0x300000 0x300000 RWE")
	if n := strings.Count(out, "NT_PRSTATUS"); n != 2 {
		t.Errorf("%d notes of threads", n)
	}
	if n := strings.Count(out, "QEMU"); n != 2 {
		t.Errorf("%d notes of QEMU's", n)
	}
	if strings.Contains(out, "Warning") || strings.Contains(out, "Error") {
		t.Error(out)
	}
}

func TestGDB(t *testing.T) {
	out := run(t, "gdb", "gdb", "--batch", "-nx", "--core", dump(t, Options{}),
		"-ex", "info threads", "-ex", "thread 1", "-ex", "info registers rax rip rsp cs", "-ex", "x/s 0x1000",
		"-ex", "x/s 0x100200007", "-ex", "thread 2", "-ex", "info registers rbx r15 rip")
	want(t, out, "LWP 1", "LWP 2", "0x1111", "0x2000", `"the first region"`, `"the second region"`, "0xf0f", "0xffffffff81000000")
}

// The programs that people have read a compressed dump as well, and a sparse one that was
// copied without its holes.
func TestOtherForms(t *testing.T) {
	dir := t.TempDir()
	unpacked, copied := filepath.Join(dir, "unpacked"), filepath.Join(dir, "copied")
	run(t, "zstd", "zstd", "-q", "-d", dump(t, Options{Compress: true}), "-o", unpacked)
	run(t, "coreutils", "cp", "--sparse=never", dump(t, Options{}), copied)
	for _, name := range []string{unpacked, copied} {
		out := run(t, "binutils", "readelf", "--wide", "-l", "-n", name)
		want(t, out, "NT_PRSTATUS", "0x0000000100000000 0x0000000100000000 0x300000 0x300000 RWE")
		if strings.Contains(out, "Warning") || strings.Contains(out, "Error") {
			t.Error(out)
		}
		out = run(t, "gdb", "gdb", "--batch", "-nx", "--core", name, "-ex", "x/s 0x1000", "-ex", "x/s 0x100200007", "-ex", "thread 2", "-ex", "info registers rip")
		want(t, out, `"the first region"`, `"the second region"`, "0xffffffff81000000")
	}
	a, b := readFile(t, unpacked), readFile(t, copied)
	if !bytes.Equal(a, b) {
		t.Error("the forms differ")
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// The note of QEMU's, by its offsets.
func TestQEMUNote(t *testing.T) {
	b := machine().CPUs[1].qemuState()
	le := binary.LittleEndian
	for _, tt := range []struct {
		name   string
		offset int
		want   uint64
	}{
		{"version and size", 0, qemuSize<<32 | 1}, {"rbx", 16, 0xB}, {"r15", 128, 0xF0F}, {"rip", 136, 0xFFFFFFFF81000000},
		{"idt base", 152 + 9*24 + 16, 0x1D7}, {"cr0", 392, 1}, {"cr1", 400, 0}, {"cr2", 408, 2}, {"cr3", 416, 3}, {"cr4", 424, 4},
		{"kernel gs base", 432, 0x6B},
	} {
		if got := le.Uint64(b[tt.offset:]); got != tt.want {
			t.Errorf("%s is %#x, want %#x", tt.name, got, tt.want)
		}
	}
	if len(b) != qemuSize {
		t.Errorf("%d bytes", len(b))
	}
	if n := len(machine().CPUs[0].prStatus(1)); n != 336 {
		t.Errorf("elf_prstatus of %d bytes", n)
	}
}

func BenchmarkWriteFile(b *testing.B) {
	for _, full := range []bool{false, true} {
		memory := make([]byte, 64<<20)
		if full {
			for i := range memory {
				memory[i] = byte(i * 7)
			}
		}
		m := Machine{CPUs: make([]CPU, 1), Regions: []Region{{0, memory}}}
		b.Run(fmt.Sprintf("full=%v", full), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(memory)))
			name := filepath.Join(b.TempDir(), "core")
			for b.Loop() {
				if err := WriteFile(b.Context(), name, m, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
