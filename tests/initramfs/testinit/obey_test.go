package main

import (
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	w := &words{rest: strings.Fields("write /dev/vda 4096 x y")}
	if got := w.text(); got != "write" {
		t.Errorf("the first word is %q", got)
	}
	w.text()
	if got := w.number(); got != 4096 || w.err != nil {
		t.Errorf("the number is %d, %v", got, w.err)
	}
	if got := w.all(); strings.Join(got, ",") != "x,y" || w.end() != nil {
		t.Errorf("the rest is %q, %v", got, w.end())
	}
}

func TestCommandErrors(t *testing.T) {
	for line, want := range map[string]string{
		"":                     `no command is named ""`,
		"nosuch 1":             `no command is named "nosuch"`,
		"read":                 "too few words",
		"read a b c d":         `"b": invalid syntax`,
		"read a -1 2 3":        `"-1": invalid syntax`,
		"read a 1 2 3 4":       `["4"] is too much`,
		"read /nosuch 0 512 1": "no such file",
		"report nosuch":        `no fact is named "nosuch"`,
	} {
		if _, err := command(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}
