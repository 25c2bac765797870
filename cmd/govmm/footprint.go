package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// settled is how long after its start a guest has met its devices and is at
// work.
const settled = 10 * time.Second

// trim gives back the memory that only the making of the machine needed, and
// once more what the guest's start needed, unless ctx ends before.
func trim(ctx context.Context, log *slog.Logger) {
	trimNow(log)
	select {
	case <-time.After(settled):
		trimNow(log)
	case <-ctx.Done():
	}
}

func trimNow(log *slog.Logger) {
	err := splitHeap()
	debug.FreeOSMemory()
	if err := errors.Join(err, trimProgram()); err != nil {
		log.Debug("memory that is not needed any more stays", "error", err)
	}
}

// splitHeap keeps the kernel from making huge pages of the Go heap. A loaded
// kernel leaves a large heap with little in it: of huge pages nearly all of it
// would stay, or come back when the host tidies up.
func splitHeap() error {
	var here byte // on a stack, which is in the heap, too
	address := uintptr(unsafe.Pointer(&here))
	return mappings(func(m mapping) error {
		if address < m.first || address >= m.end {
			return nil
		}
		return m.advise(unix.MADV_NOHUGEPAGE)
	})
}

// trimProgram gives back the pages of this program's own code and constants
// that have been touched: parsing, building and loading take megabytes of
// them, running a guest a fraction. The page cache keeps them, so that what is
// needed again costs a minor fault.
func trimProgram() error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	return mappings(func(m mapping) error {
		if m.file != program || m.access != "r-xp" && m.access != "r--p" {
			return nil // written pages exist only here
		}
		return m.advise(unix.MADV_DONTNEED)
	})
}

// mapping is a line of /proc/self/maps.
type mapping struct {
	first, end uintptr
	access     string
	file       string // empty if there is none
}

func (m mapping) advise(advice int) error {
	_, _, errno := unix.Syscall(unix.SYS_MADVISE, m.first, m.end-m.first, uintptr(advice))
	if errno != 0 && errno != unix.EINVAL { // a kernel without huge pages
		return os.NewSyscallError("madvise", errno)
	}
	return nil
}

// mappings calls do for each mapping of this process.
func mappings(do func(mapping) error) error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	return parseMappings(f, do)
}

func parseMappings(r io.Reader, do func(mapping) error) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var m mapping
		var offset, device, inode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s %s %s %s", &m.first, &m.end, &m.access, &offset, &device, &inode); err != nil {
			return fmt.Errorf("/proc/self/maps: %q: %w", lines.Text(), err)
		}
		if i := strings.IndexByte(lines.Text(), '/'); i >= 0 {
			m.file = lines.Text()[i:]
		}
		if err := do(m); err != nil {
			return err
		}
	}
	return lines.Err()
}
