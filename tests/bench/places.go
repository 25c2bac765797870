package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/govmm/govmm/tests/testhost/host"
)

// measureAt measures those of the groups that belong to a place.
func measureAt(ctx context.Context, o *options, p place, chosen []group, dir string) (results, error) {
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(g group) bool { return g.place != p })
	if len(chosen) == 0 {
		return results{}, nil
	}
	if p != placeHere {
		return measureInside(ctx, o, p, dir)
	}
	var r results
	err := measure(ctx, o, chosen, assetsIn(dir), dir, func(all results) error { r = all; return nil })
	return r, err
}

// measure measures groups where this process is.
func measure(ctx context.Context, o *options, chosen []group, a assets, dir string, keep func(results) error) error {
	qemu, err := exec.LookPath(qemuProgram)
	if err != nil {
		return fmt.Errorf("the peer is QEMU, of the package qemu-system-x86: %w", err)
	}
	s := &session{
		ctx: ctx, dir: dir, perf: o.perf, assets: a, settings: o.settings,
		programs: programs{Govmm: a.Govmm, QEMU: qemu},
		log:      func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
	s.results.Host = thisMachine()
	return s.run(chosen, keep)
}

// limit is how long a test host may take for all of its groups. A clock that
// counts instructions can come to a halt with a VMM that has several threads.
const limit = time.Hour

// measureInside runs this program on a test host. If that ends early, the
// groups that were done are there.
func measureInside(ctx context.Context, o *options, p place, dir string) (results, error) {
	self, err := os.Executable()
	if err != nil {
		return results{}, err
	}
	var said bytes.Buffer
	h := host.Options{Stdout: &said, Stderr: os.Stderr, Out: o.perf, Timeout: limit}
	args := []string{
		self, "-inside", string(p), "-assets", dir, "-rows", o.pattern.String(),
		"-boots", fmt.Sprint(o.settings.Boots), "-rounds", fmt.Sprint(o.settings.Rounds),
		"-load", o.settings.Load.String(), "-idle", o.settings.Idle.String(),
	}
	if o.perf != "" {
		args = append(args, "-perf", "/out")
	}
	if p == placeCounted {
		h.SMP, h.Icount, h.Timeout = 1, "1", limit/4
	}
	exit, err := host.Run(ctx, h, args...)
	if ctx.Err() != nil {
		return results{}, err
	}
	var r results
	done := json.NewDecoder(&said) // the results so far, after each group
	for done.More() {
		if err := done.Decode(&r); err != nil {
			break // cut off; what was read before stays
		}
	}
	if err != nil || exit != 0 {
		r.Failures = append(r.Failures, fmt.Sprintf("%s: not all was measured: exit code %d, %v", p.title(), exit, err))
	}
	return r, nil
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
