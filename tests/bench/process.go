package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long anything that is waited for may take. It is generous:
// a test host emulates its processor.
const patience = time.Minute

// process is a VMM whose guest's console is on its standard streams.
type process struct {
	vmm     vmm
	cmd     *exec.Cmd
	started time.Time
	stdin   *os.File
	lines   chan line
	said    *bytes.Buffer // standard error; valid after the end
	ended   chan struct{}
}

// line is a line of the console and when it came.
type line struct {
	text string
	at   time.Time
}

// start starts a VMM. stop must be called.
func (s *session) start(v vmm, m machine) (*process, error) {
	p, err := s.prepare(v, m)
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

// prepare makes a process that has not been started.
func (s *session) prepare(v vmm, m machine) (*process, error) {
	c := m.command(v, s.programs)
	s.note(v, c)
	args := slices.Clone(c.Args)
	if c.XML != "" {
		file := filepath.Join(s.dir, "bench.xml")
		if err := os.WriteFile(file, []byte(c.XML), 0o644); err != nil {
			return nil, err
		}
		args[slices.Index(args, xmlPlaceholder)] = file
	}
	p := &process{vmm: v, lines: make(chan line, 1024), said: new(bytes.Buffer), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(s.ctx, args[0], args[1:]...)
	p.cmd.Stderr = p.said
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdin, p.stdin = theirs, ours
	return p, nil
}

// forget closes this process's ends of the standard input.
func (p *process) forget() {
	_ = p.stdin.Close()                // nothing was written that matters now
	_ = p.cmd.Stdin.(*os.File).Close() // the child has its own
}

func (p *process) read(out io.Reader) {
	defer close(p.ended)
	defer close(p.lines)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		select {
		case p.lines <- line{strings.TrimSpace(lines.Text()), time.Now()}:
		default: // nobody listens to so much
		}
	}
	_ = p.cmd.Wait() // who waits for a line learns of it
}

// await returns the first line that begins with one of the prefixes, without
// it, and which.
func (p *process) await(ctx context.Context, prefixes ...string) (line, string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last []string
	for {
		select {
		case l, ok := <-p.lines:
			if !ok {
				return line{}, "", fmt.Errorf("%s ended; its console: %q, and it said: %s", p.vmm, last, bytes.TrimSpace(p.said.Bytes()))
			}
			for _, prefix := range prefixes {
				if i := strings.Index(l.text, prefix); i >= 0 {
					l.text = strings.TrimSpace(l.text[i+len(prefix):])
					return l, prefix, nil
				}
			}
			last = append(last[max(0, len(last)-8):], l.text)
		case <-ctx.Done():
			return line{}, "", fmt.Errorf("%s: waiting for %q: %w; its console: %q", p.vmm, prefixes, ctx.Err(), last)
		}
	}
}

// ask gives guestbench a command and returns its answer.
func (p *process) ask(ctx context.Context, format string, args ...any) (count, nanoseconds float64, err error) {
	text := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(p.stdin, text+"\n"); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", p.vmm, err)
	}
	const done, failed = "bench: done ", "bench: error "
	l, which, err := p.await(ctx, done, failed)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", text, err)
	}
	if which == failed {
		return 0, 0, fmt.Errorf("%s: the guest: %s", p.vmm, l.text)
	}
	count, nanoseconds, err = parseAnswer(l.text)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %s: %w", p.vmm, text, err)
	}
	return count, nanoseconds, nil
}

// measure is ask for what takes time: there is no figure in an answer of
// nothing, or of no time.
func (p *process) measure(ctx context.Context, format string, args ...any) (count, nanoseconds float64, err error) {
	count, nanoseconds, err = p.ask(ctx, format, args...)
	if err == nil && (count == 0 || nanoseconds == 0) {
		err = fmt.Errorf("%s: %s: %v done in %v ns", p.vmm, fmt.Sprintf(format, args...), count, nanoseconds)
	}
	return count, nanoseconds, err
}

// parseAnswer reads two whole numbers and nothing else.
func parseAnswer(text string) (count, nanoseconds float64, err error) {
	words := strings.Fields(text)
	if len(words) != 2 {
		return 0, 0, fmt.Errorf("the answer is %q, which is not two numbers", text)
	}
	var n [2]uint64
	for i, w := range words {
		if n[i], err = strconv.ParseUint(w, 10, 63); err != nil {
			return 0, 0, fmt.Errorf("the answer is %q: %w", text, err)
		}
	}
	return float64(n[0]), float64(n[1]), nil
}

// exitCost measures a CPUID instruction, in nanoseconds.
func (p *process) exitCost(ctx context.Context) (float64, error) {
	const count = 3000
	n, ns, err := p.measure(ctx, "cpuid %d", count)
	if err == nil && n != count {
		err = fmt.Errorf("%s: %v CPUIDs of %d", p.vmm, n, count)
	}
	return ns / count, err
}

// around calls load between two measurements of an exit, and returns the mean of
// these.
func (p *process) around(ctx context.Context, load func() error) (float64, error) {
	before, err := p.exitCost(ctx)
	if err != nil {
		return 0, err
	}
	if err := load(); err != nil {
		return 0, err
	}
	after, err := p.exitCost(ctx)
	return (before + after) / 2, err
}

// freeze stops the VMM's threads, so that it takes no time from another one.
func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// thaw lets them go on.
func (p *process) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// stop ends the VMM. Its machine is gone then, and its tap and its locks.
func (p *process) stop() {
	defer p.forget()
	_ = p.thaw()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err == nil || errors.Is(err, os.ErrProcessDone) {
		select {
		case <-p.ended:
			return
		case <-time.After(patience / 10):
		}
	}
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}
