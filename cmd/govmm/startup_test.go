package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// idleLimit is the memory that an idle machine may cost beside the guest's own.
const idleLimit = 8 << 20

// An idle machine costs little private memory apart from the guest's RAM.
func TestIdleMemory(t *testing.T) {
	p := prepare(t, "run", machine{cmdline: "test=boot exit=halt", extra: "<vcpu>1</vcpu>"}.write(t)).start()
	p.await("done ")
	own, ram := privateMemory(t, p.Process.Pid, 128<<20)
	t.Logf("private memory: %.2f MiB, and %.2f MiB of the guest's RAM", mib(own), mib(ram))
	if own > idleLimit {
		t.Errorf("%.2f MiB of private memory, the limit is %.0f MiB", mib(own), mib(idleLimit))
	}
	if ram == 0 {
		t.Error("the guest's RAM was not found")
	}
	p.signal(unix.SIGQUIT)
	p.wait()
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }

// privateMemory sums up Private_Clean and Private_Dirty of a process, in bytes:
// of the mappings as large as the guest's RAM, and of all others.
func privateMemory(t *testing.T, pid, ramSize int) (own, ram int) {
	t.Helper()
	smaps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	s := bufio.NewScanner(strings.NewReader(string(smaps)))
	for s.Scan() {
		var name string
		var kib int
		if n, _ := fmt.Sscanf(s.Text(), "%s %d kB", &name, &kib); n != 2 {
			continue
		}
		switch name {
		case "Size:":
			size = kib << 10
		case "Private_Clean:", "Private_Dirty:":
			if size == ramSize {
				ram += kib << 10
			} else {
				own += kib << 10
			}
		}
	}
	if own == 0 {
		t.Fatalf("no private memory in smaps: %s", smaps)
	}
	return own, ram
}

// BenchmarkFirstInstruction measures from the start of the process to the first
// byte that a guest of 128 MiB prints with its first three instructions.
func BenchmarkFirstInstruction(b *testing.B) {
	file := machine{kernel: built.guest.First.BzImage}.write(b)
	b.ReportAllocs()
	var first time.Duration
	for b.Loop() {
		cmd := exec.Command(built.govmm, "run", "--debug-exit", file)
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		var c [1]byte
		if _, err := out.Read(c[:]); err != nil || c[0] != '!' {
			b.Fatalf("read %q, %v", c, err)
		}
		first += time.Since(start)
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 0x10<<1|1 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(first.Seconds()*1e3/float64(b.N), "ms/op")
}

// BenchmarkVersion is the part of it that every command costs.
func BenchmarkVersion(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := exec.Command(built.govmm, "version").Run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N), "ms/op")
}
