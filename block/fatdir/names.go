package fatdir

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
)

// names are a file's two names in its directory.
type names struct {
	short [11]byte // base and extension, filled up with blanks
	long  []uint16 // nil if the short one says it all
}

const (
	maxLong = 255 // UTF-16 units
	maxTail = 999_999
)

// nameAll gives each node the names it has in their directory, of which no two
// are the same, be they long or short.
func nameAll(nodes []*node) ([]names, error) {
	all := make([]names, len(nodes))
	taken := make(map[[11]byte]bool, len(nodes))
	long := make(map[string]bool, len(nodes))
	// Names that are short ones as they are come first, or a made up one could
	// take their place.
	var rest []int
	for i, n := range nodes {
		short, exact := exactShort(n.name)
		if !exact || taken[short] {
			rest = append(rest, i)
			continue
		}
		taken[short] = true
		all[i].short = short
		if display(short) != n.name { // by its case
			all[i].long = utf16.Encode([]rune(n.name))
		}
	}
	tails := make(map[string]int)
	for _, i := range rest {
		name := cleanLong(nodes[i].name)
		key := strings.ToUpper(name)
		_, exact := exactShort(name)
		units := utf16.Encode([]rune(name))
		// A name that differs from another by case alone has to do without a
		// long one.
		if !exact && !long[key] && len(units) <= maxLong {
			long[key] = true
			all[i].long = units
		}
		var err error
		if all[i].short, err = tailed(name, taken, tails); err != nil {
			return nil, err
		}
		taken[all[i].short] = true
	}
	return all, nil
}

// exactShort returns the short form of a name that fits into one but for its
// case.
func exactShort(name string) (short [11]byte, ok bool) {
	base, extension, dotted := strings.Cut(name, ".")
	if base == "" || len(base) > 8 || len(extension) > 3 || dotted && extension == "" {
		return short, false
	}
	fillBlank(short[:])
	for at, part := range map[int]string{0: base, 8: extension} {
		for i := range len(part) {
			c := upper(part[i])
			if !isShort(c) {
				return short, false
			}
			short[at+i] = c
		}
	}
	return short, true
}

// display is how a short name is written.
func display(short [11]byte) string {
	base, extension := strings.TrimRight(string(short[:8]), " "), strings.TrimRight(string(short[8:]), " ")
	if extension != "" {
		return base + "." + extension
	}
	return base
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// isShort reports whether a short name may have a character.
func isShort(c byte) bool {
	return 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'()-@^_`{}~", c) >= 0
}

func fillBlank(b []byte) {
	for i := range b {
		b[i] = ' '
	}
}

// cleanLong replaces what a long name must not have.
func cleanLong(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd || strings.ContainsRune(`"*/:<>?\|`, r) {
			return '_'
		}
		return r
	}, name)
	name = strings.TrimRight(name, ". ")
	if name == "" {
		return "_"
	}
	return name
}

// tailed makes up a short name: the first characters of the long one and a
// number.
func tailed(name string, taken map[[11]byte]bool, tails map[string]int) (short [11]byte, err error) {
	name = strings.TrimLeft(name, ". ")
	base, extension := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		base, extension = name[:dot], name[dot+1:]
	}
	base, extension = shorten(base, 6), shorten(extension, 3)
	if base == "" {
		base = "_"
	}
	key := base + "." + extension
	for n := tails[key] + 1; n <= maxTail; n++ {
		tail := "~" + strconv.Itoa(n)
		fillBlank(short[:])
		used := copy(short[:8-len(tail)], base)
		copy(short[used:], tail)
		copy(short[8:], extension)
		if !taken[short] {
			tails[key] = n
			return short, nil
		}
	}
	return short, errors.New("too many names that begin alike")
}

// shorten keeps at most n characters that a short name may have; others become
// underscores, blanks and dots nothing.
func shorten(s string, n int) string {
	var b []byte
	for _, r := range s {
		if len(b) == n {
			break
		}
		switch {
		case r == ' ' || r == '.':
		case r < 0x80 && isShort(upper(byte(r))):
			b = append(b, upper(byte(r)))
		default:
			b = append(b, '_')
		}
	}
	return string(b)
}
