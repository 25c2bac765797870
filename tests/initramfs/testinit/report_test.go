package main

import (
	"strings"
	"testing"
)

func TestParseMessage(t *testing.T) {
	for _, test := range []struct {
		record string
		level  int
		text   string
		ok     bool
	}{
		{"4,339,5140900,-;tsc: unstable\n SUBSYSTEM=x\n", 4, "tsc: unstable", true},
		{"6,1,0,-,caller=T1;a;b\n", 6, "a;b", true},
		{"0,1,0,-;", 0, "", true},
		{"12,9,1,-;from a program\n", 0, "", false}, // facility 1
		{"x,1;y\n", 0, "", false},
		{"4,1,0,-", 0, "", false},
		{"", 0, "", false},
	} {
		level, text, ok := parseMessage(test.record)
		if level != test.level || text != test.text || ok != test.ok {
			t.Errorf("parseMessage(%q) = %d, %q, %v", test.record, level, text, ok)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("4,339,5140900,-;tsc: unstable\n SUBSYSTEM=x\n")
	f.Fuzz(func(t *testing.T, record string) {
		level, text, ok := parseMessage(record)
		if ok && (level < 0 || level > 7 || strings.Contains(text, "\n")) {
			t.Errorf("level %d, text %q", level, text)
		}
	})
}

func TestContains(t *testing.T) {
	for list, want := range map[string]bool{"cpus": true, "a,cpus,b": true, "": false, "cpu,cpuss": false} {
		if contains(list, "cpus") != want {
			t.Errorf("contains(%q) is not %v", list, want)
		}
	}
}
