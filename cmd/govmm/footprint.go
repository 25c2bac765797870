package main

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// trimProgram gives back the pages of this program's own code and constants
// that starting it has touched: parsing, building and loading take megabytes of
// them, running a guest a fraction. The page cache keeps them, so that what is
// needed again costs a minor fault.
func trimProgram(log *slog.Logger) {
	if err := dropPages("/proc/self/maps"); err != nil {
		log.Debug("the program's pages stay", "error", err)
	}
}

// dropPages unmaps the clean pages of the executable's read-only mappings.
func dropPages(maps string) error {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open(maps)
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var first, end uintptr
		var access string
		line := lines.Text()
		if !strings.HasSuffix(line, " "+program) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x %s", &first, &end, &access); err != nil {
			return err
		}
		if access != "r-xp" && access != "r--p" {
			continue // written pages exist only here
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, first, end-first, unix.MADV_DONTNEED); errno != 0 {
			return os.NewSyscallError("madvise", errno)
		}
	}
	return nil
}
