package integration

import (
	"context"
	"fmt"
	"path"
	"strings"
)

// obeying is the command line of a guest that does what it is told at its
// console (tests/initramfs/testinit, obey.go).
const obeying = "quiet test=none action=obey"

// ready waits for a guest that obeys.
func (g *guest) ready() {
	g.t.Helper()
	g.expect(`init: waiting for commands\r\n`)
}

// tell gives the guest a command. Its answer must be taken before the next one.
func (g *guest) tell(format string, args ...any) {
	g.t.Helper()
	g.send(fmt.Sprintf(format, args...) + "\n")
}

// answer waits for the end of a command: the facts that it said, its result,
// and whether it succeeded; if not, the result is the reason.
func (g *guest) answer() (said facts, result string, ok bool) {
	g.t.Helper()
	match := g.expect(`(?s)^(.*?)init: (done|failed)(?: ([^\r\n]*))?\r\n`)
	for line := range strings.SplitSeq(match[1], "\r\n") {
		if fact, ok := strings.CutPrefix(line, "init: "); ok {
			said = append(said, fact)
		}
	}
	return said, match[3], match[2] == "done"
}

// ask gives the guest a command that must succeed, and returns its result.
func (g *guest) ask(format string, args ...any) string {
	g.t.Helper()
	g.tell(format, args...)
	_, result, ok := g.answer()
	if !ok {
		g.t.Fatalf("%s: the guest fails: %s", fmt.Sprintf(format, args...), result)
	}
	return result
}

// refuses gives the guest a command that must fail, with a reason.
func (g *guest) refuses(reason, format string, args ...any) {
	g.t.Helper()
	g.tell(format, args...)
	if _, result, ok := g.answer(); ok || !strings.Contains(result, reason) {
		g.t.Errorf("%s: the guest says %q (done: %v), want %q", fmt.Sprintf(format, args...), result, ok, reason)
	}
}

// fact asks the guest for one kind of fact.
func (g *guest) fact(name string) facts {
	g.t.Helper()
	g.tell("report %s", name)
	said, result, ok := g.answer()
	if !ok {
		g.t.Fatalf("report %s: the guest fails: %s", name, result)
	}
	return said
}

// becomes asks for a result again and again until it is what is wanted.
func (g *guest) becomes(want, format string, args ...any) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), waitTime)
	defer cancel()
	for {
		got := g.ask(format, args...)
		if got == want {
			return
		}
		if ctx.Err() != nil {
			g.t.Fatalf("%s: it is %q and does not become %q", fmt.Sprintf(format, args...), got, want)
		}
	}
}

// interrupts are the sums, over all CPUs, of the interrupts whose names begin
// with a prefix, by what follows it.
func (g *guest) interrupts(prefix string) map[string]int {
	g.t.Helper()
	sums := map[string]int{}
	for _, line := range g.fact("irq").all("irq") {
		words := strings.Fields(line) // number, counts, controller, line, name
		name, ok := strings.CutPrefix(words[len(words)-1], prefix)
		if !ok {
			continue
		}
		for count := range strings.SplitSeq(words[1], ",") {
			var n int
			if _, err := fmt.Sscan(count, &n); err != nil {
				g.t.Fatalf("interrupt %q: %v", line, err)
			}
			sums[name] += n
		}
	}
	return sums
}

// virtioName is what the guest's kernel calls the device of a directory in
// sysfs: virtio0.
func (g *guest) virtioName(dir string) string {
	g.t.Helper()
	return path.Base(g.ask("readlink %s/device", dir))
}
