package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestParse(t *testing.T) {
	t.Setenv("PASSED", "a b")
	s, err := parse([]string{"-smp", "4", "-m=512", "-t", "9", "-o", "/o", "-e", "PASSED", "-e", "UNSET_NAME",
		"-icount", "-accel", "kvm", "-append", "x y", "-qemu", "-device  edu", "-v", "--", "-cmd", "-arg"})
	if err != nil {
		t.Fatal(err)
	}
	if s.SMP != 4 || s.MemoryMiB != 512 || s.Timeout != 9*time.Second || s.Out != "/o" || s.Icount != "1" ||
		s.Accel != "kvm" || s.Append != "x y" || s.Console == nil || s.tty || s.prepare {
		t.Errorf("settings %+v", s)
	}
	for _, list := range [][2][]string{
		{s.Env, {"PASSED=a b"}}, {s.QEMU, {"-device", "edu"}}, {s.argv, {"-cmd", "-arg"}},
	} {
		if !slices.Equal(list[0], list[1]) {
			t.Errorf("%q, want %q", list[0], list[1])
		}
	}
	for _, test := range []struct {
		args    string
		timeout time.Duration
		icount  string
	}{
		{"true", 600 * time.Second, ""},
		{"-tty true", 0, ""},
		{"-tty -t 5 true", 5 * time.Second, ""},
		{"-t 0 true -t 9", 0, ""},
		{"-icount=3 true", 600 * time.Second, "3"},
		{"-prepare", 600 * time.Second, ""},
	} {
		s, err := parse(strings.Fields(test.args))
		if err != nil || s.Timeout != test.timeout || s.Icount != test.icount {
			t.Errorf("%s: %+v, %v", test.args, s, err)
		}
	}
	for _, args := range []string{"", "-nosuch true", "-smp x true"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}

func TestEscapeReader(t *testing.T) {
	for text, want := range map[string]int{
		"":                               0,
		"abc":                            0,
		"\x1d\x1d":                       0,
		"\x1d\x1da\x1d":                  0,
		"a\x1d\x1d\x1d":                  1,
		"\x1d\x1d\x1d\x1d":               1,
		"\x1d\x1d\x1d-\x1d\x1d\x1d":      2,
		strings.Repeat("\x1d\x1dx", 100): 0,
	} {
		escapes := 0
		r := &escapeReader{r: iotest.OneByteReader(strings.NewReader(text)), escape: func() { escapes++ }}
		read, err := io.ReadAll(r)
		if err != nil || string(read) != text || escapes != want {
			t.Errorf("%q: read %q, %v, %d escapes, want %d", text, read, err, escapes, want)
		}
	}
}
