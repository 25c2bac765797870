package bootloader

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// An answer is in one of three forms, of which a program may choose one by itself
// or be told to:
//
//	sxp      linux (kernel PATH)(ramdisk PATH)(args "TEXT")
//	simple   kernel PATH, ramdisk PATH and args TEXT, each ended by a line feed
//	simple0  the same, each ended by a zero byte
//
// Ramdisk and args may be missing, in the simple forms an empty item may end the
// answer, and where something is given twice, the last one counts.
type answer struct {
	kernel, ramdisk, args string
	unknown               []string // items of other kinds
}

// maxAnswer is the longest answer, in bytes: more than two paths and the longest
// command line of a kernel need.
const maxAnswer = 64 << 10

// parseAnswer reads an answer of any form. On an error, the paths found up to
// there are still in a.
func parseAnswer(text []byte) (a answer, err error) {
	trimmed := bytes.TrimLeft(text, " \t\r\n")
	switch {
	case len(text) > maxAnswer:
		return a, fmt.Errorf("is longer than %d bytes", maxAnswer)
	case len(trimmed) == 0:
		return a, errors.New("is empty")
	case isSXP(trimmed):
		return parseSXP(string(text))
	case bytes.IndexByte(text, 0) >= 0:
		return parseSimple(string(text), "\x00"), nil
	}
	return parseSimple(string(text), "\n"), nil
}

// isSXP tells an S-expression by its beginning, which no item of the simple forms
// has.
func isSXP(text []byte) bool {
	if text[0] == '(' {
		return true
	}
	rest, found := bytes.CutPrefix(text, []byte("linux"))
	return found && len(rest) > 0 && bytes.IndexByte([]byte(" \t\r\n("), rest[0]) >= 0
}

func parseSimple(text, end string) (a answer) {
	for item := range strings.SplitSeq(text, end) {
		if end == "\n" {
			item = strings.TrimSuffix(item, "\r")
		}
		key, value := item, ""
		if i := strings.IndexAny(item, " \t"); i >= 0 {
			key, value = item[:i], strings.TrimLeft(item[i:], " \t")
		}
		if item != "" {
			a.set(key, value, item)
		}
	}
	return a
}

// set stores the value of a key that item holds.
func (a *answer) set(key, value, item string) {
	switch key {
	case "kernel":
		a.kernel = value
	case "ramdisk":
		a.ramdisk = value
	case "args":
		a.args = value
	default:
		a.unknown = append(a.unknown, item)
	}
}

// check refuses an answer that cannot be booted.
func (a *answer) check() error {
	if a.kernel == "" {
		if len(a.unknown) > 0 {
			return fmt.Errorf("names no kernel, but has %q", clip([]byte(a.unknown[0])))
		}
		return errors.New("names no kernel")
	}
	if strings.ContainsRune(a.args, 0) {
		return errors.New("has a zero byte in the command line")
	}
	for _, f := range []struct{ what, path string }{{"kernel", a.kernel}, {"ramdisk", a.ramdisk}} {
		if f.path == "" {
			continue
		}
		info, err := lookAt("the "+f.what, f.path)
		if err != nil {
			return fmt.Errorf("is of no use: %w", err)
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("is of no use: the %s %s is not a regular file", f.what, f.path)
		}
	}
	return nil
}

// clip shortens a text for a message.
func clip(text []byte) string {
	const most = 200
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}
