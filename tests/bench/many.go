package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// counts are the machines at which the curve of many is looked at.
func counts() []int { return []int{1, 10, 50, 100} }

// manyMemory is the memory of each of many machines, in MiB.
const manyMemory = 64

// fleet is what starts machines that stay.
type fleet interface {
	start() (time.Duration, error) // one more
	processes() []int              // that the machines are in
	stop()
}

// measureMany measures what the N-th machine takes to start when N-1 others are
// there, and what all of them take.
func measureMany(s *session) error {
	return s.turns(max(1, s.repeat()/2), func(v vmm, counted bool) error {
		f, err := s.fleet(v)
		if err != nil {
			return err
		}
		defer f.stop()
		for n := range counts()[len(counts())-1] {
			took, err := f.start()
			if err != nil {
				return fmt.Errorf("machine %d: %w", n+1, err)
			}
			if !counted || !slices.Contains(counts(), n+1) {
				continue
			}
			total := 0
			for _, pid := range f.processes() {
				own, err := memoryOf(pid, manyMemory<<20, "Pss")
				if err != nil {
					return err
				}
				total += own
			}
			s.record(fmt.Sprintf("start-%d", n+1), v, took.Seconds()*1e3, 0)
			s.record(fmt.Sprintf("memory-%d", n+1), v, float64(total)/(1<<20), 0)
		}
		return nil
	})
}

func (s *session) fleet(v vmm) (fleet, error) {
	m := machine{memory: manyMemory, kernel: s.assets.First, tiny: true, stays: true, here: s.group.place == placeHere}
	if v != govmmLibrary {
		return &separate{s: s, vmm: v, machine: m}, nil
	}
	return s.startStarter(m)
}

// separate is many machines in processes of their own.
type separate struct {
	s       *session
	vmm     vmm
	machine machine
	all     []*process
}

func (f *separate) start() (time.Duration, error) {
	p, took, err := f.s.startFirst(f.vmm, f.machine)
	if err != nil {
		return 0, err
	}
	f.all = append(f.all, p)
	return took, nil
}

func (f *separate) processes() []int {
	pids := make([]int, len(f.all))
	for i, p := range f.all {
		pids[i] = p.cmd.Process.Pid
	}
	return pids
}

func (f *separate) stop() {
	for _, p := range f.all {
		p.stop()
	}
}

// shared is many machines in one process, which command starter has.
type shared struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
	said  strings.Builder
}

func (s *session) startStarter(m machine) (*shared, error) {
	file := filepath.Join(s.dir, "many.xml")
	if err := os.WriteFile(file, []byte(m.xml()), 0o644); err != nil {
		return nil, err
	}
	c := &shared{cmd: exec.CommandContext(s.ctx, s.assets.Starter, file)}
	s.note(govmmLibrary, command{[]string{s.assets.Starter, xmlPlaceholder}, m.xml()})
	c.cmd.Stderr = &c.said
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	c.lines = bufio.NewScanner(out)
	return c, c.cmd.Start()
}

func (c *shared) start() (time.Duration, error) {
	_, err := io.WriteString(c.stdin, "one more\n")
	if err != nil || !c.lines.Scan() {
		return 0, fmt.Errorf("starter ended: %w: %s", errors.Join(err, c.lines.Err(), c.cmd.Wait()), c.said.String())
	}
	text, ok := strings.CutPrefix(c.lines.Text(), "done ")
	if !ok {
		return 0, fmt.Errorf("starter says %q", c.lines.Text())
	}
	_, ns, err := parseAnswer(text)
	return time.Duration(ns), err
}

func (c *shared) processes() []int { return []int{c.cmd.Process.Pid} }

func (c *shared) stop() {
	_ = c.stdin.Close() // which ends it
	_ = c.cmd.Wait()    // or it was waited for
}
