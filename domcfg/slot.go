package domcfg

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A slot is the place of one value: an attribute, or the text of an element.
type slot struct {
	c     *coder
	name  string
	value string
	given bool // reading: the value is there
	attr  bool
	leaf  bool // the text of a child element
}

// attr is the slot of an attribute.
func (c *coder) attr(name string) slot {
	s := slot{c: c, name: name, attr: true}
	if c.reading {
		if a := c.n.attr(name); a != nil {
			a.used = true
			s.value, s.given = a.value, true
		}
	}
	return s
}

// body is the slot of the element's own text.
func (c *coder) body() slot {
	c.n.textUsed = true
	return slot{c: c, name: c.n.name, value: c.n.text, given: c.reading}
}

// leaf is the slot of a child element's text.
func (c *coder) leaf(name string) slot {
	if !c.reading {
		return slot{c: c, name: name, leaf: true}
	}
	s := slot{c: c, name: name}
	c.group(name, func(sub *coder) { s = sub.body() })
	return s
}

// put writes the value.
func (s slot) put(value string) {
	switch {
	case s.attr:
		s.c.n.attrs = append(s.c.n.attrs, attribute{name: s.name, value: value})
	case s.leaf:
		sub := s.c.put(s.name)
		sub.n.text = value
		sub.putExtras()
		s.c.n.append(sub.n)
	default:
		s.c.n.text = value
	}
}

// errorf reports a value that is not right; the message begins with what was found.
func (s slot) errorf(format string, args ...any) {
	pos, what := s.c.n.pos(), strconv.Quote(clip(s.value))
	if s.attr {
		pos, what = s.c.n.attrPos(s.name), s.name+"="+what
	}
	s.c.reports.errorf(pos, s.c.n.path(), "%s %s", what, fmt.Sprintf(format, args...))
}

// clip keeps a long value from filling a message.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// required reports a value that is missing or empty.
func (s slot) required() slot {
	if !s.c.reading || strings.TrimSpace(s.value) != "" {
		return s
	}
	switch {
	case s.attr && s.given:
		s.c.reports.errorf(s.c.n.attrPos(s.name), s.c.n.path(), "attribute %s is empty", s.name)
	case s.attr:
		s.c.reports.errorf(s.c.n.pos(), s.c.n.path(), "attribute %s is missing", s.name)
	case s.given:
		s.c.reports.errorf(s.c.n.pos(), s.c.n.path(), "the element is empty")
	default:
		s.c.reports.errorf(s.c.n.pos(), s.c.n.path(), "element <%s> is missing", s.name)
	}
	s.given = false // said once is enough
	return s
}

// str codes text as it stands.
func (s slot) str(v *string) {
	if s.c.reading {
		*v = s.value
	} else if *v != "" || s.leaf && s.c.owner.extras[s.c.rel+"/"+s.name] != nil {
		s.put(*v)
	}
}

// text codes text that may be absent and may be empty.
func (s slot) text(v **string) {
	switch {
	case !s.c.reading && *v != nil:
		s.put(**v)
	case s.given:
		*v = new(s.value)
	}
}

// enum codes one of a list of words.
func enum[E ~string](s slot, v *E, allowed ...E) {
	if !s.c.reading {
		if *v != "" {
			s.put(string(*v))
		}
		return
	}
	if !s.given {
		return
	}
	value := E(s.value)
	if !s.attr {
		value = E(strings.TrimSpace(s.value))
	}
	if slices.Contains(allowed, value) {
		*v = value
		return
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	s.errorf("is not one of %s", strings.Join(words, ", "))
}

// number codes a decimal number; 0 stands for none.
func number[N ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](s slot, v *N, least, most uint64) {
	if !s.c.reading {
		if *v != 0 {
			s.put(strconv.FormatUint(uint64(*v), 10))
		}
		return
	}
	if s.given {
		n, ok := s.parse(10, least, most)
		if ok {
			*v = N(n)
		}
	}
}

// optional codes a decimal number that may be absent and may be 0.
func optional[N ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](s slot, v **N, least, most uint64) {
	if !s.c.reading {
		if *v != nil {
			s.put(strconv.FormatUint(uint64(**v), 10))
		}
		return
	}
	if s.given {
		if n, ok := s.parse(10, least, most); ok {
			*v = new(N(n))
		}
	}
}

// anyBase codes a number that may be decimal, hexadecimal with 0x or octal with 0. It is written
// in hexadecimal with that many digits, also when it is 0.
func anyBase[N ~uint | ~uint8 | ~uint16 | ~uint32](s slot, v *N, least, most uint64, digits int) {
	if !s.c.reading {
		s.put(fmt.Sprintf("0x%0*x", digits, uint64(*v)))
		return
	}
	if s.given {
		if n, ok := s.parse(0, least, most); ok {
			*v = N(n)
		}
	}
}

// parse reads a number and reports what is wrong with it. Base 0 takes the three ways that C has.
func (s slot) parse(base int, least, most uint64) (uint64, bool) {
	n, err := parseUint(s.value, base)
	switch {
	case err == errRange:
		s.errorf("is too large, %s at most", formatBase(most, base))
		return 0, false
	case err != nil && base == 0:
		s.errorf("is not a number (decimal, 0x hexadecimal or 0 octal)")
		return 0, false
	case err != nil:
		s.errorf("is not a decimal number")
		return 0, false
	case n < least || n > most:
		s.errorf("is not from %s to %s", formatBase(least, base), formatBase(most, base))
		return 0, false
	}
	return n, true
}

func formatBase(n uint64, base int) string {
	if base == 0 && n > 9 {
		return fmt.Sprintf("0x%x", n)
	}
	return strconv.FormatUint(n, 10)
}

// value codes a type that has its own way to be read and written. The zero value is not written.
func value[T comparable](s slot, v *T, parse func(string) (T, error), format func(T) string) {
	var zero T
	if !s.c.reading {
		if *v != zero {
			s.put(format(*v))
		}
		return
	}
	if !s.given {
		return
	}
	got, err := parse(s.value)
	if err != nil {
		s.errorf("%v", err)
		return
	}
	*v = got
}

// cpuset codes a list of host CPUs.
func (s slot) cpuset(v *CPUSet) {
	if !s.c.reading {
		if *v != nil {
			s.put(v.String())
		}
		return
	}
	if !s.given {
		return
	}
	set, err := ParseCPUSet(s.value)
	if err != nil {
		s.errorf("%v", err)
		return
	}
	*v = set
}

// integer codes a decimal number that may be negative; 0 stands for none.
func (s slot) integer(v *int64) {
	value(s, v, func(text string) (int64, error) {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("is not a decimal number")
		}
		return n, nil
	}, func(n int64) string { return strconv.FormatInt(n, 10) })
}

// kib codes a child element with an amount of memory.
func (c *coder) kib(name string, v *KiB) {
	c.group(name, func(c *coder) {
		if !c.reading {
			if *v != 0 || c.owner.extras[c.rel] != nil {
				c.attr("unit").put("KiB")
				c.body().put(strconv.FormatUint(uint64(*v), 10))
			}
			return
		}
		unit, text := c.attr("unit"), c.body()
		multiple, ok := unitBytes(cmp.Or(unit.value, "KiB"))
		if !ok {
			unit.errorf("is not a unit of memory: b, bytes, KB, k, KiB, MB, M, MiB, GB, G, GiB, TB, T, TiB, PB, P, PiB, EB, E, EiB")
			multiple = 1024
		}
		n, err := parseUint(text.value, 10)
		if err == errRange {
			text.errorf("is too much memory")
			return
		}
		if err != nil {
			text.errorf("is not a decimal number")
			return
		}
		size, ok := toKiB(n, multiple)
		if !ok {
			text.errorf("is too much memory")
			return
		}
		*v = size
	})
}
