// Command allocs runs the benchmarks of the hot paths and fails when one makes
// more allocations for an operation than allocs.txt has recorded.
//
//	go run ./tests/bench/allocs [-update]
//
// A line of the table is a package below the module's root, a benchmark's name
// without "Benchmark", and the allocations of an operation. One hundredth more
// is let pass: the table is of an XML parser's thousands, too. -update writes
// what was measured.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed allocs.txt
var table string

// operations is how often each is repeated. Buffers that grow once do not show.
const operations = "3000x"

func main() {
	update := flag.Bool("update", false, "record what is measured")
	flag.Parse()
	if err := run(*update); err != nil {
		fmt.Fprintln(os.Stderr, "allocs:", err)
		os.Exit(1)
	}
}

// entry is a line of the table.
type entry struct {
	pkg, name string
	allocs    int
}

func (e entry) tooMany(measured int) bool { return measured > e.allocs+e.allocs/100 }

func run(update bool) error {
	entries, err := parseTable(table)
	if err != nil {
		return err
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	dir := strings.TrimSpace(string(root))
	var failures []error
	for i := 0; i < len(entries); {
		end := i
		for end < len(entries) && entries[end].pkg == entries[i].pkg {
			end++
		}
		measured, err := measure(dir, entries[i:end])
		if err != nil {
			return err
		}
		for ; i < end; i++ {
			e := &entries[i]
			n, ok := measured[e.name]
			switch {
			case !ok:
				failures = append(failures, fmt.Errorf("%s: there is no benchmark %s", e.pkg, e.name))
			case update:
				e.allocs = n
			case e.tooMany(n):
				failures = append(failures, fmt.Errorf("%s: %s makes %d allocations an operation, recorded are %d", e.pkg, e.name, n, e.allocs))
			}
		}
	}
	if update && len(failures) == 0 {
		return os.WriteFile(filepath.Join(dir, "tests/bench/allocs/allocs.txt"), format(table, entries), 0o644)
	}
	return errors.Join(failures...)
}

// parseTable reads the table. Lines of one package are together.
func parseTable(text string) ([]entry, error) {
	var entries []entry
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != 3 {
			return nil, fmt.Errorf("allocs.txt: %q is not a package, a benchmark and a number", line)
		}
		n, err := strconv.ParseUint(words[2], 10, 31)
		if err != nil {
			return nil, fmt.Errorf("allocs.txt: %q: %w", line, err)
		}
		entries = append(entries, entry{words[0], words[1], int(n)})
	}
	if len(entries) == 0 {
		return nil, errors.New("allocs.txt: nothing is recorded")
	}
	return entries, nil
}

// format is the table with its comment lines, which come first.
func format(old string, entries []entry) []byte {
	var b bytes.Buffer
	for line := range strings.Lines(old) {
		if strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	for _, e := range entries {
		fmt.Fprintf(&b, "%-16s %-44s %d\n", e.pkg, e.name, e.allocs)
	}
	return b.Bytes()
}

// measure runs the benchmarks of one package.
func measure(dir string, entries []entry) (map[string]int, error) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", pattern(entries), "-benchtime", operations, "-benchmem", "./"+entries[0].pkg)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return parseOutput(string(out))
}

// pattern is an expression for the benchmarks, part by part as go test has it. It
// may match a few more.
func pattern(entries []entry) string {
	var parts [][]string
	for _, e := range entries {
		for i, part := range strings.Split("Benchmark"+e.name, "/") {
			if i == len(parts) {
				parts = append(parts, nil)
			}
			if part = regexp.QuoteMeta(part); !slices.Contains(parts[i], part) {
				parts[i] = append(parts[i], part)
			}
		}
	}
	var levels []string
	for _, p := range parts {
		levels = append(levels, "^("+strings.Join(p, "|")+")$")
	}
	return strings.Join(levels, "/")
}

var result = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s.*\s(\d+) allocs/op$`)

// parseOutput reads the allocations of each benchmark.
func parseOutput(text string) (map[string]int, error) {
	measured := map[string]int{}
	for _, m := range result.FindAllStringSubmatch(text, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return nil, fmt.Errorf("%q: %w", m[0], err)
		}
		measured[m[1]] = n
	}
	if len(measured) == 0 {
		return nil, fmt.Errorf("no benchmark in the output:\n%s", text)
	}
	return measured, nil
}
