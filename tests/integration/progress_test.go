package integration

import (
	"bytes"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// progress hands on the verbose output of a test run, and notes which tests have
// begun and which have ended.
type progress struct {
	out     io.Writer
	heard   func() // called with each Write, if it is not nil
	line    []byte // so far
	running string // the test that has begun last and has not ended
	ended   []string
	broken  bool // out is in the middle of a line
}

func (p *progress) Write(text []byte) (int, error) {
	if p.heard != nil {
		p.heard()
	}
	for rest := text; len(rest) > 0; {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		p.line = append(p.line, line...)
		if found {
			p.note(string(p.line))
			p.line = p.line[:0]
		}
		p.broken, rest = !found, after
	}
	return p.out.Write(text)
}

// frame begins a line of the test runner's own, not of a test, for test2json.
const frame = "\x16"

var verdict = regexp.MustCompile(`^--- (?:PASS|FAIL|SKIP): ([^ /]+) \(`)

// note looks for the begin and the end of a test that is not part of another.
func (p *progress) note(line string) {
	// A test's unfinished line may come before it.
	if i := strings.LastIndex(line, frame); i >= 0 {
		line = line[i+len(frame):]
	}
	if name, ok := strings.CutPrefix(line, "=== RUN   "); ok && !strings.Contains(name, "/") {
		p.running = name
	} else if m := verdict.FindStringSubmatch(line); m != nil {
		p.ended = append(p.ended, m[1])
		if m[1] == p.running {
			p.running = ""
		}
	}
}

// fail ends the running test, which the host's death has cut off, in the words of
// the test runner.
func (p *progress) fail() {
	if p.running == "" {
		return
	}
	if p.broken {
		io.WriteString(p.out, "\n")
	}
	io.WriteString(p.out, frame+"--- FAIL: "+p.running+" (0.00s)\n")
	p.ended = append(p.ended, p.running)
	p.line, p.running, p.broken = p.line[:0], "", false
}

// skip is a value of -test.skip that leaves out the tests that have ended, and
// those that skip did.
func (p *progress) skip(skip string) string {
	var parts []string
	if skip != "" {
		parts = append(parts, skip)
	}
	for _, name := range p.ended {
		parts = append(parts, "^"+name+"$")
	}
	return strings.Join(parts, "|")
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out}
	const text = "=== RUN   TestA\n\x16=== RUN   TestA/sub\n    --- PASS: TestA/sub (0.1s)\n--- PASS: TestA (0.10s)\n" +
		"\x16=== RUN   TestB\nunfinished \x16--- FAIL: TestB (1.00s)\n\x16=== RUN   TestC\n\x16=== RUN   TestC/--- PASS: TestC (\ncut o"
	for _, c := range []byte(text) { // in any pieces
		p.Write([]byte{c})
	}
	if want := []string{"TestA", "TestB"}; !slices.Equal(p.ended, want) || p.running != "TestC" {
		t.Errorf("%q have ended and %q runs", p.ended, p.running)
	}
	p.fail()
	p.fail()
	if got, want := out.String(), text+"\n\x16--- FAIL: TestC (0.00s)\n"; got != want {
		t.Errorf("handed on %q, want %q", got, want)
	}
	if got, want := p.skip("^TestX"), "^TestX|^TestA$|^TestB$|^TestC$"; got != want {
		t.Errorf("skips %s, want %s", got, want)
	}
}
