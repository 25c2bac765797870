package domcfg

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseKiB reads an amount of memory as a person writes it: a number of KiB, or a number with one
// of the units that the XML has (512MiB, 1G). What is not a whole number of KiB is rounded up.
func ParseKiB(text string) (KiB, error) {
	number := strings.TrimRightFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	name := strings.TrimSpace(text[len(number):])
	unit, known := uint64(1024), true
	if name != "" {
		unit, known = unitBytes(name)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64)
	if err != nil || !known {
		return 0, fmt.Errorf("%q is not an amount of memory: a number of KiB, or a number with a unit such as MiB", text)
	}
	size, ok := toKiB(n, unit)
	if !ok {
		return 0, fmt.Errorf("%q is more memory than can be counted", text)
	}
	return size, nil
}
