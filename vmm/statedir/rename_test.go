package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRename(t *testing.T) {
	root := filepath.Join(t.TempDir(), "run")
	a, b := mustCreate(t, root, "a"), mustCreate(t, root, "b")
	l, err := a.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, bad := range []string{"", "..", "x/y"} {
		if err := a.Rename(bad); err == nil {
			t.Errorf("the name %q is taken", bad)
		}
	}
	running := (*RunningError)(nil)
	if err := a.Rename("b"); !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("a name in use: %v", err)
	}
	// What a killed machine left behind is in nobody's way.
	stale := filepath.Join(root, "a-1")
	if err := os.Mkdir(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(stale, pidFile), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Rename("a-1"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, root); !slices.Equal(got, []string{"a-1", "b"}) {
		t.Errorf("names %q", got)
	}
	e, err := Find(root, "a-1")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := e.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	mustCreate(t, root, "a") // its old name is free
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
