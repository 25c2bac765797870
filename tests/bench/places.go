package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/govmm/govmm/tests/testhost/host"
)

// measureAt measures those of the groups that belong to a place. Each group has a
// test host of its own, so that one which dies takes no other group with it.
func measureAt(ctx context.Context, o *options, p place, chosen []group, dir string) (results, error) {
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(g group) bool { return g.place != p })
	var all results
	if len(chosen) == 0 {
		return all, nil
	}
	if p == placeHere {
		err := measure(ctx, o, chosen, assetsIn(dir), dir, func(r results) error { all = r; return nil })
		return all, err
	}
	for _, g := range chosen {
		r, err := measureOnHost(ctx, o, g, dir)
		all.add(r)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// add appends what another session has found.
func (r *results) add(more results) {
	r.Samples = append(r.Samples, more.Samples...)
	r.Commands = append(r.Commands, more.Commands...)
	r.Failures = append(r.Failures, more.Failures...)
	if more.Host != "" {
		r.Host = more.Host
	}
}

// measure measures groups where this process is.
func measure(ctx context.Context, o *options, chosen []group, a assets, dir string, keep func(results) error) error {
	qemu, err := exec.LookPath(qemuProgram)
	if err != nil {
		return fmt.Errorf("the peer is QEMU, of the package qemu-system-x86: %w", err)
	}
	s := &session{
		ctx: ctx, dir: dir, perf: o.perf, assets: a, settings: o.settings, keep: keep,
		programs: programs{Govmm: a.Govmm, QEMU: qemu, Gokvm: a.Gokvm},
		log:      func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
	s.results.Host = thisMachine()
	return s.run(a.measurable(chosen))
}

// hostTries is how often a group is begun anew when its test host dies, which
// the emulated processor has made it do.
const hostTries = 2

// measureOnHost runs this program on a test host for one group. When the host
// dies every time, what was known last counts.
func measureOnHost(ctx context.Context, o *options, g group, dir string) (r results, err error) {
	for try := range hostTries {
		var exit int
		r, exit, err = runOnHost(ctx, o, g, dir)
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if exit == 0 && err == nil {
			return r, nil
		}
		said := fmt.Sprintf("%s: the test host ended early: exit code %d, %v", g.name, exit, err)
		fmt.Fprintln(os.Stderr, said)
		if try == hostTries-1 {
			r.Failures = append(r.Failures, said)
		}
	}
	return r, nil
}

func runOnHost(ctx context.Context, o *options, g group, dir string) (r results, exit int, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, 0, err
	}
	names := make([]string, len(g.rows))
	for i, row := range g.rows {
		names[i] = regexp.QuoteMeta(row.Name)
	}
	args := []string{
		self, "-inside", string(g.place), "-assets", dir, "-rows", "^(" + strings.Join(names, "|") + ")$",
		"-boots", fmt.Sprint(o.settings.Boots), "-rounds", fmt.Sprint(o.settings.Rounds),
		"-load", o.settings.Load.String(), "-idle", o.settings.Idle.String(),
	}
	var said bytes.Buffer
	h := host.Options{Stdout: &said, Stderr: os.Stderr, Out: o.perf, Timeout: groupLimit + 2*time.Minute}
	if o.perf != "" {
		args = append(args, "-perf", "/out")
	}
	if g.place == placeCounted {
		h.SMP, h.Icount = 1, "1"
	}
	exit, err = host.Run(ctx, h, args...)
	known := json.NewDecoder(&said) // what was known after each turn
	for known.More() {
		var next results
		if known.Decode(&next) != nil {
			break // cut off; what was read before stays
		}
		r = next
	}
	return r, exit, err
}

// inside is the run on a test host. Its results go to the standard output.
func inside(ctx context.Context, o *options, chosen []group) error {
	dir, err := os.MkdirTemp("/run", "bench-") // in memory
	if err != nil {
		return err
	}
	a, err := assetsIn(o.assets).copyTo(dir)
	if err != nil {
		return err
	}
	chosen = slices.DeleteFunc(chosen, func(g group) bool { return g.place != o.inside })
	out := json.NewEncoder(os.Stdout)
	return measure(ctx, o, chosen, a, dir, func(r results) error {
		// The names of directories made for this run say nothing.
		r.Commands = slices.Clone(r.Commands)
		for i := range r.Commands {
			r.Commands[i].Text = strings.ReplaceAll(r.Commands[i].Text, dir+string(filepath.Separator), "")
		}
		return out.Encode(r)
	})
}
