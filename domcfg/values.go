package domcfg

import (
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// KiB is an amount of memory in units of 1024 bytes.
type KiB uint64

// Bytes returns the amount in bytes.
func (k KiB) Bytes() uint64 { return uint64(k) << 10 }

// String returns the amount with its unit.
func (k KiB) String() string { return strconv.FormatUint(uint64(k), 10) + " KiB" }

// Unlimited is the amount from which on libvirt takes a memory limit as none.
const Unlimited KiB = 9007199254740991

// maxKiB is the largest amount whose bytes fit in 63 bits.
const maxKiB = 1<<53 - 1

// unitBytes returns how many bytes a unit of memory has. Case does not count, as in libvirt: KB
// is 1000 and k or KiB is 1024.
func unitBytes(unit string) (uint64, bool) {
	u := strings.ToLower(unit)
	switch u {
	case "b", "byte", "bytes":
		return 1, true
	}
	const prefixes = "kmgtpe"
	power := strings.IndexByte(prefixes, u[0]) + 1
	if power == 0 {
		return 0, false
	}
	base := uint64(1024)
	switch u[1:] {
	case "", "ib":
	case "b":
		base = 1000
	default:
		return 0, false
	}
	n := uint64(1)
	for range power {
		n *= base
	}
	return n, true
}

// toKiB returns n units as KiB, rounded up.
func toKiB(n, unit uint64) (KiB, bool) {
	hi, lo := bits.Mul64(n, unit)
	if hi != 0 {
		return 0, false
	}
	k := lo / 1024
	if lo%1024 != 0 {
		k++
	}
	return KiB(k), k <= maxKiB
}

var (
	errSyntax = errors.New("not a number")
	errRange  = errors.New("too large")
)

// parseUint reads a number of the given base. Base 0 takes decimal, 0x and 0 octal; unlike
// strconv's base 0 there are no underscores, 0b or 0o.
func parseUint(text string, base int) (uint64, error) {
	text = strings.TrimSpace(text)
	if base == 0 {
		base = 10
		if len(text) > 2 && (text[:2] == "0x" || text[:2] == "0X") {
			text, base = text[2:], 16
		} else if len(text) > 1 && text[0] == '0' {
			text, base = text[1:], 8
		}
	}
	if text == "" || text[0] == '+' || text[0] == '-' {
		return 0, errSyntax
	}
	n, err := strconv.ParseUint(text, base, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, errRange
	}
	if err != nil {
		return 0, errSyntax
	}
	return n, nil
}

// UUID identifies a domain. The zero UUID stands for none.
type UUID [16]byte

// ParseUUID reads 32 hexadecimal digits; dashes and blanks may stand anywhere, as in libvirt.
func ParseUUID(text string) (UUID, error) {
	var u UUID
	digits := strings.Map(func(r rune) rune {
		if r == '-' || strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, text)
	if len(digits) != 32 {
		return u, errors.New("is not a UUID: 32 hexadecimal digits are needed")
	}
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, errors.New("is not a UUID: 32 hexadecimal digits are needed")
	}
	if u == (UUID{}) {
		return u, errors.New("is not a UUID: it must not be all zeros")
	}
	return u, nil
}

// String returns the UUID in the form of RFC 4122, empty for the zero UUID.
func (u UUID) String() string {
	if u == (UUID{}) {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// MAC is an Ethernet address. The zero MAC stands for none.
type MAC [6]byte

// ParseMAC reads six octets of one or two hexadecimal digits with colons between them. The address
// must be one that a NIC can have: not multicast and not all zeros.
func ParseMAC(text string) (MAC, error) {
	var m MAC
	octets := strings.Split(text, ":")
	if len(octets) != len(m) {
		return m, errors.New("is not a MAC address: six octets such as 52:54:00:12:34:56 are needed")
	}
	for i, octet := range octets {
		n, err := strconv.ParseUint(octet, 16, 8)
		if err != nil || len(octet) > 2 {
			return MAC{}, errors.New("is not a MAC address: six octets such as 52:54:00:12:34:56 are needed")
		}
		m[i] = byte(n)
	}
	if m[0]&1 != 0 {
		return MAC{}, errors.New("is a multicast address; a NIC needs a unicast one, with an even first octet")
	}
	if m == (MAC{}) {
		return m, errors.New("is all zeros, which no NIC can have")
	}
	return m, nil
}

// String returns the address as six octets with colons.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// WWN is the world wide name of a disk. The zero WWN stands for none.
type WWN uint64

// ParseWWN reads 16 hexadecimal digits.
func ParseWWN(text string) (WWN, error) {
	text = strings.TrimSpace(text)
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 {
		return 0, errors.New("is not a world wide name: 16 hexadecimal digits are needed")
	}
	return WWN(n), nil
}

// String returns 16 hexadecimal digits, empty for the zero WWN.
func (w WWN) String() string {
	if w == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", uint64(w))
}

// Bounds of a CPUSet: the largest id of a host CPU that Linux can have, and the items of a list.
const (
	maxCPU      = 8191
	maxCPUItems = 1024
)

// A CPURange is host CPUs from First to Last.
type CPURange struct{ First, Last int }

// CPUSet is a set of host CPUs, as ranges in rising order that do not touch. Nil stands for "not
// given", which means all CPUs.
type CPUSet []CPURange

// ParseCPUSet reads a list such as "1-4,^3,6". A caret takes a CPU out of those named before it.
func ParseCPUSet(text string) (CPUSet, error) {
	if strings.Count(text, ",") >= maxCPUItems {
		return nil, fmt.Errorf("is not a list of CPUs: it has more than %d items", maxCPUItems)
	}
	var in [maxCPU + 2]bool // one more, always false, ends the last range
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		one, without := strings.CutPrefix(item, "^")
		first, last, isRange := strings.Cut(one, "-")
		if !isRange {
			last = first
		}
		lo, err1 := parseUint(first, 10)
		hi, err2 := parseUint(last, 10)
		switch {
		case err1 != nil || err2 != nil || without && isRange:
			return nil, fmt.Errorf("is not a list of CPUs such as 1-4,^3,6: %q is no CPU, range or ^CPU", clip(item))
		case lo > hi:
			return nil, fmt.Errorf("is not a list of CPUs: the range %q runs backwards", clip(item))
		case hi > maxCPU:
			return nil, fmt.Errorf("has CPU %d; the largest is %d", hi, maxCPU)
		}
		for cpu := lo; cpu <= hi; cpu++ {
			in[cpu] = !without
		}
	}
	var set CPUSet
	for cpu := 0; cpu <= maxCPU; cpu++ {
		if !in[cpu] {
			continue
		}
		first := cpu
		for in[cpu+1] {
			cpu++
		}
		set = append(set, CPURange{first, cpu})
	}
	if set == nil {
		return nil, errors.New("leaves no CPU")
	}
	return set, nil
}

// String returns the shortest list of CPUs and ranges.
func (s CPUSet) String() string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(r.First))
		if r.Last > r.First {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(r.Last))
		}
	}
	return b.String()
}

// All goes through the ids of the CPUs in rising order.
func (s CPUSet) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, r := range s {
			for cpu := r.First; cpu <= r.Last; cpu++ {
				if !yield(cpu) {
					return
				}
			}
		}
	}
}

// Contains reports whether a CPU is in the set.
func (s CPUSet) Contains(cpu int) bool {
	return slices.ContainsFunc(s, func(r CPURange) bool { return r.First <= cpu && cpu <= r.Last })
}

// YesNo is an attribute that says yes or no, or nothing when it is empty.
type YesNo string

// The values of YesNo.
const (
	Yes YesNo = "yes"
	No  YesNo = "no"
)

// Or returns what was said, or else the given default.
func (y YesNo) Or(otherwise bool) bool {
	if y == "" {
		return otherwise
	}
	return y == Yes
}

func (s slot) yesNo(v *YesNo) { enum(s, v, Yes, No) }

// OnOff is an attribute that says on or off, or nothing when it is empty.
type OnOff string

// The values of OnOff.
const (
	On  OnOff = "on"
	Off OnOff = "off"
)

// Or returns what was said, or else the given default.
func (o OnOff) Or(otherwise bool) bool {
	if o == "" {
		return otherwise
	}
	return o == On
}

func (s slot) onOff(v *OnOff) { enum(s, v, On, Off) }
