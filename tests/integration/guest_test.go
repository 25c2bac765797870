package integration

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// waitTime is how long a test waits for one thing: many times what an
// emulated guest needs to boot.
const waitTime = 2 * time.Minute

// guest is a guest's console, as one sits before it.
type guest struct {
	t   *testing.T
	out *transcript
	in  io.Writer
}

// newGuest is a guest whose output, if the test fails, is shown at its end.
func newGuest(t *testing.T, in io.Writer) *guest {
	g := &guest{t: t, out: newTranscript(), in: in}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the guest's console:\n%s", g.out.tail())
		}
	})
	return g
}

// expect waits for a regular expression in what the guest prints after the
// last match, and returns its submatches.
func (g *guest) expect(pattern string) []string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), waitTime)
	defer cancel()
	match, err := g.out.expect(ctx, regexp.MustCompile(pattern))
	if err != nil {
		g.t.Fatal(err)
	}
	return match
}

// contains waits for a regular expression in all that the guest has printed.
func (g *guest) contains(pattern string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), waitTime)
	defer cancel()
	if err := g.out.contains(ctx, regexp.MustCompile(pattern)); err != nil {
		g.t.Fatal(err)
	}
}

// send types at the console.
func (g *guest) send(text string) {
	g.t.Helper()
	if _, err := io.WriteString(g.in, text); err != nil {
		g.t.Fatal(err)
	}
}

// Of the program shellinit:
const (
	banner = `Linux (\S+): (\d+) CPUs?, (\d+) MiB of memory, clock (\S+), up after (\S+) s`
	prompt = `guest:/# `
)

// shell gives the guest's shell a command and returns what it prints. The
// prompt and the command must fit into one line of the terminal.
func (g *guest) shell(command string) string {
	g.t.Helper()
	if len(prompt)+len(command)+len("; echo [$?]") >= 80 {
		g.t.Fatalf("the command is too long for a line: %s", command)
	}
	g.send(command + "; echo [$?]\n")
	match := g.expect(`(?s)echo \[\$\?\]\r\n(.*?)\[(\d+)\]\r\n`)
	if match[2] != "0" {
		g.t.Fatalf("%s: exit status %s: %s", command, match[2], match[1])
	}
	g.expect(prompt)
	return strings.TrimSpace(strings.ReplaceAll(match[1], "\r\n", "\n"))
}

// facts are the lines "init: KEY VALUE" of the program testinit.
type facts []string

// report waits for the facts that testinit prints before it acts.
func (g *guest) report() facts {
	g.t.Helper()
	text := g.expect(`(?s)init: up\r\n(.*?)init: action [\w-]+\r\n`)[1]
	var f facts
	for line := range strings.SplitSeq(text, "\r\n") {
		if fact, ok := strings.CutPrefix(line, "init: "); ok {
			f = append(f, fact)
		}
	}
	for _, e := range f.all("error") {
		g.t.Errorf("the guest's init: %s", e)
	}
	return f
}

// all are the values of a key.
func (f facts) all(key string) []string {
	var values []string
	for _, fact := range f {
		if value, ok := strings.CutPrefix(fact, key+" "); ok {
			values = append(values, value)
		}
	}
	return values
}

// one is the value of a key that there is once.
func (f facts) one(t *testing.T, key string) string {
	t.Helper()
	values := f.all(key)
	if len(values) != 1 {
		t.Fatalf("the guest reports %d values of %s, want 1", len(values), key)
	}
	return values[0]
}

// number is one as a number.
func (f facts) number(t *testing.T, key string) uint64 {
	t.Helper()
	var n uint64
	if _, err := fmt.Sscan(f.one(t, key), &n); err != nil {
		t.Fatalf("%s %q: %v", key, f.one(t, key), err)
	}
	return n
}
