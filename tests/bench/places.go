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
	return measure(ctx, o, chosen, assetsIn(dir), dir)
}

// measure measures groups where this process is.
func measure(ctx context.Context, o *options, chosen []group, a assets, dir string) (results, error) {
	qemu, err := exec.LookPath(qemuProgram)
	if err != nil {
		return results{}, fmt.Errorf("the peer is QEMU, of the package qemu-system-x86: %w", err)
	}
	s := &session{
		ctx: ctx, dir: dir, perf: o.perf, assets: a, settings: o.settings,
		programs: programs{Govmm: a.Govmm, QEMU: qemu},
		log:      func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) },
	}
	s.results.Host = thisMachine()
	s.run(chosen)
	return s.results, ctx.Err()
}

// measureInside runs this program on a test host.
func measureInside(ctx context.Context, o *options, p place, dir string) (results, error) {
	self, err := os.Executable()
	if err != nil {
		return results{}, err
	}
	var said bytes.Buffer
	h := host.Options{Stdout: &said, Stderr: os.Stderr, Out: o.perf}
	args := []string{
		self, "-inside", string(p), "-assets", dir, "-rows", o.pattern.String(),
		"-boots", fmt.Sprint(o.settings.Boots), "-rounds", fmt.Sprint(o.settings.Rounds),
		"-load", o.settings.Load.String(), "-idle", o.settings.Idle.String(),
	}
	if o.perf != "" {
		args = append(args, "-perf", "/out")
	}
	if p == placeCounted {
		h.SMP, h.Icount = 1, "1"
	}
	exit, err := host.Run(ctx, h, args...)
	if err != nil {
		return results{}, err
	}
	var r results
	if err := json.Unmarshal(said.Bytes(), &r); err != nil {
		return r, fmt.Errorf("the run on the test host ended with %d, and without results: %w", exit, err)
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
	r, err := measure(ctx, o, chosen, a, dir)
	if err != nil {
		return err
	}
	// The names of directories made for this run say nothing.
	for i := range r.Commands {
		r.Commands[i].Text = strings.ReplaceAll(r.Commands[i].Text, dir+string(filepath.Separator), "")
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}
