package guest

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
)

// Kind tells the result lines apart.
type Kind int

const (
	OK    Kind = iota // "ok": held
	NotOK             // "not ok": did not hold
	Value             // "=": an answer in which machines must agree
)

func (k Kind) String() string {
	return [...]string{"ok", "not ok", "="}[k]
}

// Result is one result line.
type Result struct {
	Kind   Kind
	Test   string // as test= on the command line selects it
	Name   string // of the check, or the key of a value
	Detail string // the value, or why a check did not hold; may be empty
}

// String returns the line that the kernel printed.
func (r Result) String() string {
	head := fmt.Sprintf("%v %s %s", r.Kind, r.Test, r.Name)
	switch {
	case r.Kind == Value:
		return head + " " + r.Detail
	case r.Detail == "":
		return head
	case r.Kind == NotOK:
		return head + ": " + r.Detail
	}
	return head + " = " + r.Detail
}

// Report is the output of one run.
type Report struct {
	Results []Result
	Done    bool     // the last line was printed
	OK      int      // what it says
	NotOK   int      // what it says
	Other   []string // lines that are not results, as firmware prints
}

const (
	maxLine  = 64 << 10 // bytes
	maxLines = 10_000
)

// ParseOutput reads what the kernel printed. The error is one of reading, or
// of output that is no kernel's (a line beyond 64 KiB, more than 10,000
// lines); the report then holds what came before.
func ParseOutput(r io.Reader) (*Report, error) {
	report := &Report{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 0; lines.Scan(); n++ {
		if n == maxLines {
			return report, fmt.Errorf("guest: more than %d lines of output", maxLines)
		}
		report.add(strings.TrimRight(lines.Text(), "\r"))
	}
	if err := lines.Err(); err != nil {
		return report, fmt.Errorf("guest: reading the kernel's output: %w", err)
	}
	return report, nil
}

func (r *Report) add(line string) {
	var ok, notOK int
	if n, err := fmt.Sscanf(line, "done %d ok, %d not ok", &ok, &notOK); n == 2 && err == nil {
		r.Done, r.OK, r.NotOK = true, ok, notOK
		return
	}
	if result, ok := parseLine(line); ok {
		r.Results = append(r.Results, result)
	} else if line != "" {
		r.Other = append(r.Other, line)
	}
}

func parseLine(line string) (Result, bool) {
	for _, form := range []struct {
		head, separator string
		kind            Kind
	}{{"not ok ", ": ", NotOK}, {"ok ", " = ", OK}, {"= ", " ", Value}} {
		rest, ok := strings.CutPrefix(line, form.head)
		if !ok {
			continue
		}
		test, rest, ok := strings.Cut(rest, " ")
		name, detail, _ := strings.Cut(rest, form.separator)
		if !ok || test == "" || name == "" || strings.Contains(name, " ") {
			return Result{}, false
		}
		return Result{Kind: form.kind, Test: test, Name: name, Detail: detail}, true
	}
	return Result{}, false
}

// Err returns nil if the kernel came to its end and everything held, and
// otherwise says what did not.
func (r *Report) Err() error {
	var errs []error
	ok, notOK := 0, 0
	for _, result := range r.Results {
		switch result.Kind {
		case OK:
			ok++
		case NotOK:
			notOK++
			errs = append(errs, errors.New(result.String()))
		}
	}
	switch {
	case !r.Done:
		errs = append(errs, fmt.Errorf("the kernel did not come to its end; the last it said was %q", r.last()))
	case ok != r.OK || notOK != r.NotOK:
		errs = append(errs, fmt.Errorf("%d ok and %d not ok lines arrived, the kernel counted %d and %d", ok, notOK, r.OK, r.NotOK))
	case ok+notOK == 0:
		errs = append(errs, errors.New("nothing was tested"))
	}
	return errors.Join(errs...)
}

func (r *Report) last() string {
	if n := len(r.Results); n > 0 {
		return r.Results[n-1].String()
	}
	if n := len(r.Other); n > 0 {
		return r.Other[n-1]
	}
	return ""
}

// Lookup returns the first result of this name.
func (r *Report) Lookup(test, name string) (Result, bool) {
	i := slices.IndexFunc(r.Results, func(x Result) bool { return x.Test == test && x.Name == name })
	if i < 0 {
		return Result{}, false
	}
	return r.Results[i], true
}

// Compare returns, a line each, the answers in which two machines differ:
// values that are not the same or that one of them did not print. What except
// names, as "test" or "test key", may differ. The ok lines are each machine's
// own; see [Report.Err].
func Compare(want, got *Report, except ...string) []string {
	type key struct{ test, name string }
	collect := func(r *Report) (keys []key, values map[key]string) {
		values = make(map[key]string)
		for _, x := range r.Results {
			if x.Kind != Value || slices.Contains(except, x.Test) || slices.Contains(except, x.Test+" "+x.Name) {
				continue
			}
			k := key{x.Test, x.Name}
			if _, again := values[k]; again {
				values[k] += ", " + x.Detail
				continue
			}
			keys = append(keys, k)
			values[k] = x.Detail
		}
		return keys, values
	}
	var differences []string
	wantKeys, wantValues := collect(want)
	gotKeys, gotValues := collect(got)
	for _, k := range wantKeys {
		if v, ok := gotValues[k]; !ok {
			differences = append(differences, fmt.Sprintf("%s %s: want %q, not printed", k.test, k.name, wantValues[k]))
		} else if v != wantValues[k] {
			differences = append(differences, fmt.Sprintf("%s %s: want %q, got %q", k.test, k.name, wantValues[k], v))
		}
	}
	for _, k := range gotKeys {
		if _, ok := wantValues[k]; !ok {
			differences = append(differences, fmt.Sprintf("%s %s: got %q, want none", k.test, k.name, gotValues[k]))
		}
	}
	return differences
}

// InitrdValue returns the value of "= boot initrd" for an initrd with this
// content: its size in bytes and the FNV-1a sum of its first and its last 512
// bytes.
func InitrdValue(content []byte) string {
	n := min(len(content), 512)
	h := fnv.New64a()
	h.Write(content[:n])
	h.Write(content[len(content)-n:])
	return fmt.Sprintf("%d %016x", len(content), h.Sum64())
}
