package early

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Parameter returns the value of the last name=value on a kernel command
// line. A name without a value has the empty one.
func Parameter(cmdline, name string) (string, bool) {
	found, value := false, ""
	for word := range strings.FieldsSeq(cmdline) {
		if key, v, _ := strings.Cut(word, "="); key == name {
			found, value = true, v
		}
	}
	return value, found
}

// Release is the running kernel's, as uname -r says it.
func Release() (string, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(uts.Release[:]), nil
}

// MemTotal is the memory the kernel manages, in KiB.
func MemTotal() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			return strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemTotal")
}

// Text is a small file's contents on one line.
func Text(file string) (string, error) {
	text, err := os.ReadFile(file)
	return strings.Join(strings.Fields(string(text)), " "), err
}
