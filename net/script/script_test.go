package script

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// write makes a script in a directory of its own.
func write(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ifup")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	path := write(t, `echo "$# $1" > said`)
	if err := Run(t.Context(), Options{Path: path, Interface: "vnet7"}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(filepath.Dir(path), "said")); err != nil || string(got) != "1 vnet7\n" {
		t.Errorf("the script was given %q (%v)", got, err)
	}
}

func TestRunErrors(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		path string
		want []string
	}{
		"status":     {write(t, "echo no bridge >&2; exit 3"), []string{"vnet7: exit status 3: it wrote: no bridge"}},
		"much text":  {write(t, "yes | head -c 1000000; echo the end; exit 1"), []string{"exit status 1", "the end"}},
		"signal":     {write(t, "kill -TERM $$"), []string{"signal: terminated"}},
		"missing":    {plain + ".no", []string{"no such file", `<script path=""/>`}},
		"no program": {plain, []string{"permission denied"}},
	} {
		err := Run(t.Context(), Options{Path: x.path, Interface: "vnet7"})
		if err == nil {
			t.Errorf("%s: it succeeds", name)
			continue
		}
		for _, want := range x.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %s", name, err, want)
			}
		}
		if len(err.Error()) > maxOutput+500 {
			t.Errorf("%s: the message has %d bytes", name, len(err.Error()))
		}
	}
}

// A script that hangs is ended with what it started, at the end of its time or of
// the context; so is what a script leaves that succeeds.
func TestNothingIsLeft(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, x := range map[string]struct {
		ctx     context.Context
		text    string
		timeout time.Duration
		want    error
	}{
		"hangs":     {t.Context(), "trap '' TERM HUP; mkfifo never; cat never & echo $! > child; wait", 300 * time.Millisecond, context.DeadlineExceeded},
		"cancelled": {cancelled, "mkfifo never; cat never & echo $! > child; wait", time.Minute, context.Canceled},
		"succeeds":  {t.Context(), "mkfifo never; cat never & echo $! > child", time.Minute, nil},
	} {
		path := write(t, x.text)
		child := filepath.Join(filepath.Dir(path), "child")
		if x.ctx == cancelled {
			go func() {
				for pidOf(child) == 0 {
					runtime.Gosched()
				}
				cancel()
			}()
		}
		err := Run(x.ctx, Options{Path: path, Interface: "vnet7", Timeout: x.timeout})
		if !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
		pid := pidOf(child)
		if pid == 0 {
			t.Errorf("%s: it has not started anything", name)
			continue
		}
		for deadline := time.Now().Add(10 * time.Second); alive(pid); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Errorf("%s: process %d is left", name, pid)
				break
			}
		}
	}
}

// pidOf is the process number that a file holds, 0 if it is not there yet.
func pidOf(file string) int {
	text, _ := os.ReadFile(file)
	if !bytes.HasSuffix(text, []byte("\n")) {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// alive reports whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	if unix.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return err == nil && !bytes.HasPrefix(rest, []byte("Z"))
}
