package domcfg

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a domain XML file. Lines and columns count from 1, columns in characters.
// The zero Pos belongs to what no file wrote.
type Pos struct {
	File   string
	Line   int
	Column int
}

// String returns "file:line:column", or only the file's name where no line is known.
func (p Pos) String() string {
	file := p.File
	if file == "" {
		file = "domain"
	}
	if p.Line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, p.Line, p.Column)
}

func (p Pos) compare(q Pos) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// An Error is one fault of a domain XML file.
type Error struct {
	Pos  Pos
	Path string // the element, such as devices/disk[2]/driver; empty for the root or malformed XML
	Msg  string // what was found and what is allowed
}

// Error returns "file:line:column: path: message".
func (e *Error) Error() string { return report(e.Pos, e.Path, e.Msg) }

// Errors is every fault found in a file, in the order of their positions. It is never empty when
// it is returned as an error.
type Errors []*Error

// Error returns one fault a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find a single *Error.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// Fault is an error about the first element of a domain, or the attribute of one, at a path such as
// vcpu@cpuset, with the place where it was read: for what only the host can tell to be wrong.
func (d *Domain) Fault(path, format string, args ...any) *Error {
	steps, attr, _ := strings.Cut(path, "@")
	n := d.tree()
	for step := range strings.SplitSeq(steps, "/") {
		if next := n.child(step); next != nil {
			n = next
		}
	}
	e := &Error{Pos: n.pos(), Path: n.path(), Msg: fmt.Sprintf(format, args...)}
	if attr != "" {
		e.Pos = n.attrPos(attr)
	}
	return e
}

// A Warning names something that was accepted without having its full effect.
type Warning struct {
	Pos  Pos
	Path string
	Msg  string
}

// String returns "file:line:column: path: message".
func (w Warning) String() string { return report(w.Pos, w.Path, w.Msg) }

// A Refusal names something that is valid but that this version of govmm cannot honour.
type Refusal struct {
	Pos    Pos
	Path   string // the element
	What   string // the attribute and its value, such as cache="none"; empty for a whole element
	Reason string
}

// String returns "file:line:column: path: what: reason".
func (r Refusal) String() string {
	if r.What == "" {
		return report(r.Pos, r.Path, r.Reason)
	}
	return report(r.Pos, r.Path, r.What+": "+r.Reason)
}

// Error makes a Refusal usable as an error.
func (r Refusal) Error() string { return r.String() }

func report(pos Pos, path, msg string) string {
	if path == "" {
		return pos.String() + ": " + msg
	}
	return pos.String() + ": " + path + ": " + msg
}

// maxReports bounds how many errors, and how many warnings, of one file are kept: a hostile file
// of a hundred thousand bad elements shall not become a gigabyte of messages.
const maxReports = 1000

// reports collects what is found while a domain is read or checked.
type reports struct {
	errs     Errors
	warnings []Warning
}

func (r *reports) errorf(pos Pos, path, format string, args ...any) {
	if len(r.errs) < maxReports {
		r.errs = append(r.errs, &Error{Pos: pos, Path: path, Msg: fmt.Sprintf(format, args...)})
	}
}

func (r *reports) warnf(pos Pos, path, format string, args ...any) {
	if len(r.warnings) < maxReports {
		r.warnings = append(r.warnings, Warning{Pos: pos, Path: path, Msg: fmt.Sprintf(format, args...)})
	}
}

// sort puts errors and warnings in the order of the file; equal positions keep their order.
func (r *reports) sort() {
	slices.SortStableFunc(r.errs, func(a, b *Error) int { return a.Pos.compare(b.Pos) })
	slices.SortStableFunc(r.warnings, func(a, b Warning) int { return a.Pos.compare(b.Pos) })
}

func (r *reports) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	return r.errs
}
