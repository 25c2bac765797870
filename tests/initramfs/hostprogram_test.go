package initramfs

import (
	"strings"
	"testing"
)

// A program comes with its dynamic loader and all libraries; a missing one is an
// error that names the package.
func TestHostProgram(t *testing.T) {
	files, err := HostProgram("ls", "coreutils")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		if _, err := f.load(); err != nil {
			t.Error(err)
		}
		names = append(names, f.record.Name)
	}
	all := strings.Join(names, "\n") + "\n"
	for _, want := range []string{"bin/ls\n", "/libc.so.6\n", "ld-linux-x86-64.so.2\n"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q among %q", want, names)
		}
	}
	if _, err := HostProgram("no-such-program", "some-package"); err == nil || !strings.Contains(err.Error(), "install the package some-package") {
		t.Errorf("HostProgram: %v", err)
	}
}
