package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// options are the command line.
type options struct {
	pattern  *regexp.Regexp
	settings settings
	markdown string // "-" is the standard output
	json     string
	govmm    string
	perf     string
	list     bool
	inside   place  // this process is on a test host
	assets   string // of the one outside
}

func parse(args []string) (*options, error) {
	o := &options{pattern: regexp.MustCompile(""), settings: full()}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.Func("rows", "measure only rows whose name matches the `regexp` (-list shows them)", func(text string) (err error) {
		o.pattern, err = regexp.Compile(text)
		return err
	})
	isQuick := fs.Bool("quick", false, "measure so briefly that only large differences show")
	boots := fs.Int("boots", 0, "`machines` of each VMM, one after the other (default 2, quick 1)")
	rounds := fs.Int("rounds", 0, "`rounds` with each machine (default 4, quick 2)")
	load := fs.Duration("load", 0, "`time` of each disk and network load (default 1s, quick 300ms)")
	idle := fs.Duration("idle", 0, "`time` to watch an idle machine (default 10s, quick 3s)")
	fs.StringVar(&o.markdown, "o", "-", "`file` for the report in Markdown")
	fs.StringVar(&o.json, "json", "", "`file` for all values in JSON")
	fs.StringVar(&o.govmm, "govmm", "", "`program` to measure (default built from the source)")
	fs.StringVar(&o.perf, "perf", "", "`directory` for profiles of disk and network loads, which disturb the figures")
	fs.BoolVar(&o.list, "list", false, "only list the rows")
	fs.StringVar((*string)(&o.inside), "inside", "", "what the command says to itself on a test host")
	fs.StringVar(&o.assets, "assets", "", "the same")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if *isQuick {
		o.settings = quick()
	}
	override(&o.settings.Boots, *boots)
	override(&o.settings.Rounds, *rounds)
	override(&o.settings.Load, *load)
	override(&o.settings.Idle, *idle)
	if s := o.settings; s.Boots < 1 || s.Rounds < 1 || s.Load < time.Millisecond || s.Idle < time.Millisecond {
		return nil, errors.New("nothing can be measured in no time")
	}
	return o, nil
}

func override[T comparable](value *T, by T) {
	var unset T
	if by != unset {
		*value = by
	}
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	chosen := choose(groups(), o.pattern)
	switch {
	case len(chosen) == 0:
		return fmt.Errorf("no row matches %v", o.pattern)
	case o.list:
		for _, g := range chosen {
			for _, r := range g.rows {
				fmt.Printf("%-30s %s, %s\n", r.Name, r.Title, r.Unit)
			}
		}
		return nil
	case o.inside != "":
		return inside(ctx, o, chosen)
	}
	dir, err := os.MkdirTemp("", "govmm-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := assetsIn(dir).build(ctx, o.govmm, o.perf != ""); err != nil {
		return err
	}
	noGokvm := assetsIn(dir).buildGokvm(ctx)
	r := &report{
		Date: time.Now().Format(time.DateOnly), Machine: thisMachine(), QEMU: qemuVersion(ctx),
		Settings: o.settings, Places: map[place]string{},
	}
	if noGokvm != nil {
		r.Results.Failures = append(r.Results.Failures, noGokvm.Error())
	}
	chosen = assetsIn(dir).measurable(chosen)
	for _, g := range chosen {
		r.Rows = append(r.Rows, g.rows...)
	}
	for _, p := range places() {
		results, err := measureAt(ctx, o, p, chosen, dir)
		r.Places[p] = results.Host
		r.Results.add(results)
		if err != nil { // what is known is reported nevertheless
			r.Results.Failures = append(r.Results.Failures, fmt.Sprintf("%s: %v", p.title(), err))
			break
		}
	}
	if err := r.write(o, chosen); err != nil {
		return err
	}
	if n := len(r.Results.Failures); n > 0 {
		return fmt.Errorf("%d failures; see the report", n)
	}
	return nil
}

func (r *report) write(o *options, chosen []group) error {
	if o.json != "" {
		if err := r.writeJSON(o.json); err != nil {
			return err
		}
	}
	if o.markdown == "-" {
		return r.markdown(os.Stdout, chosen)
	}
	f, err := os.Create(o.markdown)
	if err != nil {
		return err
	}
	if err := r.markdown(f, chosen); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

const qemuProgram = "qemu-system-x86_64"

func qemuVersion(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, qemuProgram, "--version").Output()
	if err != nil {
		return "no QEMU"
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return first
}

// thisMachine is the processor and the kernel in words.
func thisMachine() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "unknown"
	}
	model := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo") // without it, it is unknown
	processors := 0
	for line := range strings.Lines(string(info)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "processor":
			processors++
		}
	}
	return fmt.Sprintf("%d processors %s, Linux %s", processors, model, unix.ByteSliceToString(uts.Release[:]))
}
