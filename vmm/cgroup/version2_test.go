package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a directory that looks like a hierarchy of version 2: files by their paths.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A group is made where version 2 allows it: not among processes.
func TestParent(t *testing.T) {
	alone, others := fmt.Sprintln(os.Getpid()), fmt.Sprintf("1\n%d\n", os.Getpid())
	for _, tt := range []struct {
		name, own string
		files     map[string]string
		want      string // with "/", or a part of the error
	}{
		{"root", "/", map[string]string{"cgroup.procs": others}, "/"},
		{"alone", "/a/b", map[string]string{"a/b/cgroup.events": "", "a/b/cgroup.procs": alone}, "/a/b"},
		{"with others", "/a/b", map[string]string{"a/b/cgroup.events": "", "a/b/cgroup.procs": others}, "/a"},
		{"alone in a container", "/", map[string]string{"cgroup.events": "", "cgroup.procs": alone}, "/"},
		{"with others in a container", "/", map[string]string{"cgroup.events": "", "cgroup.procs": others}, "only process of a container"},
		{"outside", "/../x", nil, "outside of what is mounted"},
	} {
		v := &version2{mount: tree(t, tt.files), own: tt.own}
		got, err := v.parent()
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A promise is worth what the groups around have been promised.
func TestGuaranteed(t *testing.T) {
	const file = "memory.min"
	for _, tt := range []struct {
		path  string
		outer map[string]string // by group
		want  string            // a part of the error
	}{
		{"/govmm-a", nil, ""},
		{"/a/b/govmm-a", map[string]string{"a": "max\n", "a/b": "1048576\n"}, ""},
		{"/a/b/govmm-a", map[string]string{"a": "1048575\n", "a/b": "max\n"}, "the cgroup /a, which the machine's is in, is promised 1048575 bytes"},
		{"/a/b/govmm-a", map[string]string{"a": "max\n", "a/b": "0\n"}, "/a/b"},
	} {
		files := map[string]string{}
		for group, value := range tt.outer {
			files[group+"/cgroup.events"], files[group+"/"+file] = "", value
		}
		v := &version2{mount: tree(t, files), path: tt.path}
		err := v.guaranteed(1 << 20)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s in %v: %v, want %q", tt.path, tt.outer, err, tt.want)
		}
	}
}

// A controller that the groups around do not give on is said to be missing.
func TestMissing(t *testing.T) {
	v := &version2{mount: tree(t, map[string]string{"a/cgroup.controllers": "cpu memory\n"}), path: "/a"}
	if err := v.missing([]string{"cpu", "memory"}); err != nil {
		t.Error(err)
	}
	if err := v.missing([]string{"cpu", "io"}); err == nil || !strings.Contains(err.Error(), "/a cannot have the controller io") {
		t.Error(err)
	}
}
