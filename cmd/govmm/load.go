package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
)

// judgement is what the domain parser says of one file.
type judgement struct {
	domain *domcfg.Domain // nil if it is not valid or could not be read
	code   int            // exitOK if it can be run
	said   []string       // warnings, then errors or refusals, one a line
}

// judge reads and judges one domain file. "-" is the standard input.
func (a *app) judge(name string) *judgement {
	j := &judgement{}
	r, err := a.open(name)
	if err != nil {
		j.fail(exitError, "govmm: ", err)
		return j
	}
	defer r.Close()
	d, warnings, err := domcfg.Parse(name, r)
	for _, w := range warnings {
		j.said = append(j.said, w.String())
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		j.fail(exitError, "govmm: ", err) // it could not be read to its end
		return j
	}
	if err != nil {
		j.fail(exitInvalid, "", err)
		return j
	}
	j.domain = d
	for _, r := range domcfg.Unsupported(d) {
		j.fail(exitUnsupported, "", r)
	}
	return j
}

func (a *app) open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	return os.Open(name)
}

// fail notes what is wrong, each line after prefix.
func (j *judgement) fail(code int, prefix string, err error) {
	j.code = code
	for line := range strings.Lines(err.Error()) {
		j.said = append(j.said, prefix+strings.TrimSuffix(line, "\n"))
	}
}

// report prints what there is to say of a file, as compilers do, and returns
// its exit code as an error.
func (a *app) report(j *judgement) error {
	for _, line := range j.said {
		fmt.Fprintln(a.stderr, line)
	}
	if j.code == exitOK {
		return nil
	}
	return &exitCode{code: j.code}
}

// xmlFiles completes the names of XML files.
func xmlFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"xml"}, cobra.ShellCompDirectiveFilterFileExt
}
