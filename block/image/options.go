package image

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Option is one of the words that can be said when an image is created.
type Option struct {
	Name string
	Help string
}

// Value is a word and what is said for it, as in -o NAME=VALUE.
type Value struct{ Name, Value string }

// ParseOptions reads words as they stand on a command line:
// NAME=VALUE[,NAME=VALUE...]. A comma within a value is doubled. A name alone
// stands for NAME=on.
func ParseOptions(s string) ([]Value, error) {
	var list []Value
	for s != "" {
		var word strings.Builder
		for s != "" {
			head, tail, found := strings.Cut(s, ",")
			word.WriteString(head)
			s = tail
			if !found || !strings.HasPrefix(tail, ",") {
				break
			}
			word.WriteByte(',')
			s = tail[1:]
		}
		name, value, found := strings.Cut(word.String(), "=")
		if name == "" {
			return nil, fmt.Errorf("%q is no option: NAME=VALUE is", word.String())
		}
		if !found {
			value = "on"
		}
		list = append(list, Value{name, value})
	}
	return list, nil
}

// ParseSize reads a size in bytes: a number, which may have a fraction, and one
// of the suffixes b, k, M, G, T, P and E, which are powers of 1024.
func ParseSize(s string) (int64, error) {
	number, unit := s, int64(1)
	if n := len(s) - 1; n > 0 {
		if i := strings.IndexByte("bkmgtpe", s[n]|0x20); i >= 0 {
			number, unit = s[:n], 1<<(10*i)
		}
	}
	if v, err := strconv.ParseInt(number, 10, 64); err == nil && v >= 0 && v <= math.MaxInt64/unit && number[0] != '+' {
		return v * unit, nil
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v*float64(unit) >= math.MaxInt64 || strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is no size: a number with b, k, M, G, T, P or E is, up to 8 EiB", s)
	}
	return int64(v * float64(unit)), nil
}

// values are the words for one format. Each is asked for by its name; done tells
// of those that nobody knows.
type values struct {
	list []Value
	used map[string]bool
	errs []error
}

func newValues(list []Value) *values { return &values{list: list, used: make(map[string]bool)} }

// text is what is said for a name, or the default. The last one said counts.
func (v *values) text(name, otherwise string) string {
	v.used[name] = true
	for _, o := range slices.Backward(v.list) {
		if o.Name == name {
			return o.Value
		}
	}
	return otherwise
}

// word is one of several.
func (v *values) word(name, otherwise string, words ...string) string {
	s := v.text(name, otherwise)
	if s != otherwise && !slices.Contains(words, s) {
		v.fail("%s=%s is not one of %s", name, s, strings.Join(words, ", "))
	}
	return s
}

// size is a number of bytes.
func (v *values) size(name string, otherwise int64) int64 {
	s := v.text(name, "")
	if s == "" {
		return otherwise
	}
	n, err := ParseSize(s)
	if err != nil {
		v.fail("%s: %w", name, err)
	}
	return n
}

// number is one up to 2 billions.
func (v *values) number(name string, otherwise int) int {
	n := v.size(name, int64(otherwise))
	if n > math.MaxInt32 {
		v.fail("%s=%d is too much", name, n)
	}
	return int(n)
}

// flag is on or off; off if it is not said.
func (v *values) flag(name string) bool { return v.word(name, "off", "on", "off") == "on" }

func (v *values) fail(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

// done reports what is wrong with the words that were asked for, and the words
// that were not.
func (v *values) done(f *Format) error {
	for _, o := range v.list {
		if !v.used[o.Name] {
			known := "has none"
			if len(f.Options) > 0 {
				known = "has"
				for _, option := range f.Options {
					known += " " + option.Name
				}
			}
			v.fail("format %s has no option %q; it %s", f.Name, o.Name, known)
		}
	}
	return errors.Join(v.errs...)
}
