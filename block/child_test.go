package block

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childRole is the environment variable that makes this test binary one of the
// processes below.
const childRole = "GOVMM_BLOCK_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "":
		os.Exit(m.Run())
	case "writer":
		childWriter()
	case "no io_uring":
		childWithoutRing()
	}
}

func child(tb testing.TB, role string, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

const crashBlock = 4096

// childWriter writes numbered blocks through a queue and prints what it knows
// to be safe: a block when its write is complete with the write cache off, else
// when a later flush is. It goes on until it is killed.
func childWriter() {
	var cache Cache
	var engine Engine
	if _, err := fmt.Sscan(os.Args[2], &cache); err != nil {
		panic(err)
	}
	if _, err := fmt.Sscan(os.Args[3], &engine); err != nil {
		panic(err)
	}
	d, err := Open(context.Background(), Options{Path: os.Args[1], Cache: cache, Engine: engine})
	if err != nil {
		panic(err)
	}
	back := make(chan *Request, 64)
	q, err := d.NewQueue(QueueOptions{Inline: true, Completed: func(done []*Request) {
		for _, r := range done {
			back <- r
		}
	}})
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(os.Stdout)
	var batch []*Request
	for range 8 {
		mem, err := unix.Mmap(-1, 0, crashBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			panic(err)
		}
		batch = append(batch, &Request{Op: Write, Vec: [][]byte{mem}})
	}
	for n := uint64(1); ; n++ {
		for i, r := range batch {
			r.Offset = int64((n*8+uint64(i))%(d.sizeBlocks())) * crashBlock
			crashFill(r.Vec[0], n)
			q.Submit(r)
		}
		q.Kick()
		for range batch {
			if r := <-back; r.Err != nil {
				panic(r.Err)
			}
		}
		if d.WriteCache() {
			q.Submit(&Request{Op: Flush})
			q.Kick()
			if r := <-back; r.Err != nil {
				panic(r.Err)
			}
		}
		for _, r := range batch {
			fmt.Fprintf(out, "%d %d\n", r.Offset, n)
		}
		if err := out.Flush(); err != nil {
			os.Exit(0)
		}
	}
}

func (d *Raw) sizeBlocks() uint64 { return uint64(d.Size()) / crashBlock }

func crashFill(p []byte, n uint64) {
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], n)
	}
}

// TestKilled kills a process in the middle of its writes: the host sees all
// that it said was safe.
func TestKilled(t *testing.T) {
	for _, cache := range []Cache{CacheNone, CacheWritethrough, CacheWriteback} {
		for _, engine := range []Engine{EngineThreads, EngineNative} {
			t.Run(fmt.Sprintf("%v/%v", cache, engine), func(t *testing.T) {
				path := makeImage(t, t.TempDir(), 1<<20)
				cmd := child(t, "writer", path, fmt.Sprint(uint8(cache)), fmt.Sprint(uint8(engine)))
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				safe := make(map[int64]uint64)
				lines := 0
				for s := bufio.NewScanner(out); s.Scan(); lines++ {
					var at int64
					var n uint64
					if _, err := fmt.Sscan(s.Text(), &at, &n); err != nil {
						break // the last line, cut by the kill
					}
					safe[at] = n
					if lines == 1000 {
						if err := cmd.Process.Kill(); err != nil {
							t.Fatal(err)
						}
					}
				}
				_ = cmd.Wait() // killed
				if lines < 1000 {
					t.Fatalf("the writer ended after %d lines", lines)
				}
				got := readFile(t, path, 1<<20)
				for at, n := range safe {
					block := got[at:][:crashBlock]
					first := binary.LittleEndian.Uint64(block)
					// A later write may have been on its way.
					if first < n {
						t.Errorf("block at %d holds write %d, write %d was acknowledged", at, first, n)
					}
					want := make([]byte, crashBlock)
					crashFill(want, first)
					if first == n && !bytes.Equal(block, want) {
						t.Errorf("block at %d holds write %d in part", at, n)
					}
				}
				// The dead process has left no lock.
				openDisk(t, Options{Path: path})
			})
		}
	}
}

// childWithoutRing forbids io_uring to itself and does a read.
func childWithoutRing() {
	const allow, enosys = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_IO_URING_SETUP, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: enosys},
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// All threads of the process, or the test would depend on the scheduler.
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program))); errno != 0 {
		panic(errno)
	}
	d, err := Open(context.Background(), Options{
		Path: os.Args[1], Engine: EngineNative, Cache: CacheNone,
		Log: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	})
	if err != nil {
		panic(err)
	}
	back := make(chan error)
	q, err := d.NewQueue(QueueOptions{Completed: func(done []*Request) { back <- done[0].Err }})
	if err != nil {
		panic(err)
	}
	q.Submit(&Request{Op: Read, Vec: [][]byte{make([]byte, 4096)}})
	q.Kick()
	fmt.Printf("engine %v, read: %v\n", d.Engine(), <-back)
	if err := d.Close(); err != nil {
		panic(err)
	}
}

func TestWithoutRing(t *testing.T) {
	path := makeImage(t, t.TempDir(), 1<<20)
	out, err := child(t, "no io_uring", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"engine threads, read: <nil>", "is not possible, using", "function not implemented"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in the output:\n%s", want, out)
		}
	}
}
