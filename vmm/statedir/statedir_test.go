package statedir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain plays the process that is killed, when it is asked to.
func TestMain(m *testing.M) {
	if root := os.Getenv("STATEDIR_TEST_VICTIM"); root != "" {
		d, err := Create(root, "victim")
		if err == nil {
			_, err = d.Listen()
		}
		fmt.Println(d.Path(), err)
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
	}
	os.Exit(m.Run())
}

func mustCreate(t *testing.T, root, name string) *Dir {
	t.Helper()
	d, err := Create(root, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func names(t *testing.T, root string) []string {
	t.Helper()
	list, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func TestOneMachine(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "root")
	if got := names(t, root); got != nil {
		t.Errorf("before there is a root: %v", got)
	}
	d := mustCreate(t, root, "one")
	l, err := d.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e, err := Find(root, "one")
	if want := (Entry{"one", os.Getpid(), d.Path()}); err != nil || e != want {
		t.Errorf("found %v, %v, not %v", e, err, want)
	}
	for path, want := range map[string]os.FileMode{
		root: os.ModeDir | 0o700, d.Path(): os.ModeDir | 0o700, e.Socket(): os.ModeSocket | 0o600,
	} {
		if got := mode(t, path); got != want {
			t.Errorf("%s: mode %v, not %v", path, got, want)
		}
	}
	greet(t, l, e)

	// The same name again, of this or another process, is refused.
	_, err = Create(root, "one")
	if running, ok := errors.AsType[*RunningError](err); !ok || running.PID != os.Getpid() {
		t.Errorf("a second one: %v", err)
	}
	mustCreate(t, root, "two")
	if got := names(t, root); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("list: %v", got)
	}

	if err := errors.Join(l.Close(), d.Close(), d.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(d.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
	_, err = Find(root, "one")
	if missing, ok := errors.AsType[*NotFoundError](err); !ok || !slices.Equal(missing.Running, []string{"two"}) {
		t.Errorf("after Close: %v", err)
	}
	mustCreate(t, root, "one")
}

// greet passes a byte through the socket.
func greet(t *testing.T, l *net.UnixListener, e Entry) {
	t.Helper()
	client, err := e.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte{42}); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if b, err := io.ReadAll(client); err != nil || string(b) != "*" {
		t.Errorf("read %q, %v", b, err)
	}
}

// A socket's address has room for 107 bytes, a path for 4095.
func TestLongPath(t *testing.T) {
	root := t.TempDir()
	for _, length := range []int{maxSocketPath, maxSocketPath + 1, 255} {
		name := strings.Repeat("n", min(length-len(root)-len("//"+socketFile), 255))
		d := mustCreate(t, root, name)
		l, err := d.Listen()
		if err != nil {
			t.Fatal(err)
		}
		e, err := Find(root, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := mode(t, e.Socket()); got != os.ModeSocket|0o600 {
			t.Errorf("%d bytes: mode %v", len(e.Socket()), got)
		}
		greet(t, l, e)
		l.Close()
	}
}

func TestKilled(t *testing.T) {
	for _, by := range []string{"Create", "List"} {
		root := t.TempDir()
		victim := exec.Command(os.Args[0], "-test.run=^$")
		victim.Env = append(os.Environ(), "STATEDIR_TEST_VICTIM="+root)
		stdin, err := victim.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		stdout, err := victim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 200)
		n, _ := stdout.Read(said)
		path := filepath.Join(root, "victim")
		if got := string(said[:n]); got != path+" <nil>\n" {
			t.Errorf("the victim said %q", got)
		}
		e, err := Find(root, "victim")
		if err != nil || e.PID != victim.Process.Pid {
			t.Errorf("found %v, %v", e, err)
		}
		_, err = Create(root, "victim")
		if running, ok := errors.AsType[*RunningError](err); !ok || running.PID != victim.Process.Pid {
			t.Errorf("while it runs: %v", err)
		}
		_ = victim.Process.Kill()
		_ = victim.Wait()
		if _, err := os.Lstat(e.Socket()); err != nil {
			t.Errorf("the victim left no socket: %v", err)
		}
		switch by {
		case "Create":
			d := mustCreate(t, root, "victim")
			if _, err := os.Lstat(filepath.Join(d.Path(), socketFile)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the old socket: %v", err)
			}
		case "List":
			if got := names(t, root); got != nil {
				t.Errorf("list: %v", got)
			}
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after List: %v", err)
			}
		}
	}
}

// What is not a state directory is nobody's to remove.
func TestForeignDirectories(t *testing.T) {
	root := t.TempDir()
	precious := filepath.Join(root, "one", "precious")
	if err := errors.Join(os.Mkdir(filepath.Join(root, "one"), 0o755), os.WriteFile(precious, nil, 0o644),
		os.WriteFile(filepath.Join(root, "file"), nil, 0o644), os.Mkdir(filepath.Join(root, "empty"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if got := names(t, root); got != nil {
		t.Errorf("list: %v", got)
	}
	for _, name := range []string{"one", "file/", "", ".", "..", "../x", "a\x00b", strings.Repeat("x", 256)} {
		if d, err := Create(root, name); err == nil {
			t.Errorf("%q was made: %s", name, d.Path())
		}
	}
	if _, err := os.Lstat(precious); err != nil {
		t.Error(err)
	}
	mustCreate(t, root, "empty") // left by one that was killed early
}

func TestRootOfOthers(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "shared")
	link := filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(shared, 0o755), os.Chmod(shared, 0o777), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{shared: "chmod go-w", link: "not a directory", "/dev/null": "not a directory"}
	if os.Geteuid() != 0 {
		cases["/run"] = "belongs to user 0"
	} else {
		foreign := filepath.Join(t.TempDir(), "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o755), os.Chown(foreign, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		cases[foreign] = "belongs to user 65534"
	}
	for root, want := range cases {
		if _, err := Create(root, "one"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", root, err, want)
		}
	}
}

// Of many that want one name, one gets it, again and again.
func TestRace(t *testing.T) {
	root := t.TempDir()
	for range 20 {
		var wg sync.WaitGroup
		got := make(chan *Dir, 8)
		for range cap(got) {
			wg.Go(func() {
				d, err := Create(root, "one")
				if err == nil {
					got <- d
				} else if _, ok := errors.AsType[*RunningError](err); !ok {
					t.Error(err)
				}
				if _, err := List(root); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(got)
		if len(got) != 1 {
			t.Errorf("%d have the name", len(got))
		}
		for d := range got {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDialErrors(t *testing.T) {
	d := mustCreate(t, t.TempDir(), "one")
	e := Entry{"one", 1, d.Path()}
	if _, err := e.Dial(context.Background()); err == nil || !strings.Contains(err.Error(), "--no-control") {
		t.Errorf("no socket: %v", err)
	}
	l, err := d.Listen()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := e.Dial(context.Background()); !errors.Is(err, unix.ECONNREFUSED) || !strings.Contains(err.Error(), "ending") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestRoot(t *testing.T) {
	for _, test := range []struct {
		uid  int
		env  map[string]string
		want string
	}{
		{0, nil, "/run/govmm"},
		{0, map[string]string{"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/govmm"},
		{1000, map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/govmm"},
		{1000, map[string]string{"XDG_RUNTIME_DIR": "relative"}, "/tmp/govmm-1000"},
		{1000, nil, "/tmp/govmm-1000"},
		{0, map[string]string{RootVariable: "/elsewhere"}, "/elsewhere"},
		{1000, map[string]string{RootVariable: "relative", "XDG_RUNTIME_DIR": "/x"}, "/x/govmm"},
	} {
		if got := rootFor(test.uid, func(name string) string { return test.env[name] }); got != test.want {
			t.Errorf("%d, %v: %s, not %s", test.uid, test.env, got, test.want)
		}
	}
}
