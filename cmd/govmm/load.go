package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
)

// judgement is what the domain parser says of one file.
type judgement struct {
	domain   *domcfg.Domain // nil if the file is not valid
	warnings []domcfg.Warning
	refusals []domcfg.Refusal
	err      error // nil, or an exitCode
}

// judge reads and judges one domain file. "-" is the standard input.
func (a *app) judge(name string) judgement {
	r, close, err := a.open(name)
	if err != nil {
		return judgement{err: err}
	}
	defer close()
	d, warnings, err := domcfg.Parse(name, r)
	j := judgement{domain: d, warnings: warnings}
	if err != nil {
		j.domain = nil
		code := exitInvalid
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			code = exitError // the file could not be read to its end
		}
		j.err = &exitCode{code, err}
		return j
	}
	j.refusals = domcfg.Unsupported(d)
	if len(j.refusals) > 0 {
		j.err = &exitCode{code: exitUnsupported}
	}
	return j
}

func (a *app) open(name string) (r io.Reader, close func(), err error) {
	if name == "-" {
		return a.stdin, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { f.Close() }, nil
}

// report prints warnings, refusals and errors, one a line, as compilers do.
func (a *app) report(j judgement) {
	for _, w := range j.warnings {
		fmt.Fprintf(a.stderr, "%v\n", w)
	}
	if j.err != nil && len(j.refusals) == 0 {
		fmt.Fprintf(a.stderr, "%v\n", j.err)
	}
	for _, r := range j.refusals {
		fmt.Fprintf(a.stderr, "%v\n", r)
	}
}

// xmlFiles completes the names of XML files.
func xmlFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"xml"}, cobra.ShellCompDirectiveFilterFileExt
}
