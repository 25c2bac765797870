package chardev

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/chardev/vt"
	"github.com/govmm/govmm/tests/await"
)

// TestVC: the screen goes on without a viewer, and a viewer sees what it is and
// what comes, and types.
func TestVC(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "vc")
	v, err := OpenVC(VCOptions{Options: Options{Name: "serial0"}, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	front := newFrontEnd()
	v.Attach(front)
	if up, _ := front.carrier(); !up {
		t.Error("no carrier")
	}
	writeAll(t, v, []byte(strings.Repeat("scrolled away\r\n", 10000)+"login: "))
	await.That(t, "the screen", func() bool { return strings.HasSuffix(v.Text(), "\nlogin:") })
	for _, typed := range []string{"one", "two"} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		seen := vt.New(vcColumns, vcRows)
		see := func(want string) {
			t.Helper()
			buf := make([]byte, 1000)
			for !strings.HasSuffix(seen.String(), want) {
				n, err := conn.Read(buf)
				if err != nil {
					t.Fatalf("%v, with %q on the screen", err, seen)
				}
				_, _ = seen.Write(buf[:n])
			}
		}
		see("\nlogin:")
		if _, err := io.WriteString(conn, typed); err != nil {
			t.Fatal(err)
		}
		await.That(t, "the input", func() bool { return strings.HasSuffix(front.input(), typed) })
		writeAll(t, v, []byte("hello "+typed+"\r\nlogin: "))
		see("hello " + typed + "\nlogin:")
		if got := v.Text(); got != seen.String() {
			t.Errorf("the viewer sees\n%s\nand not\n%s", seen, got)
		}
		conn.Close()
	}
	mustClose(t, v)
	if s := v.Stats(); s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestVCUnread: a viewer that does not read does not keep Close waiting.
func TestVCUnread(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "vc")
	v, err := OpenVC(VCOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	v.Attach(newFrontEnd())
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	fillUp(t, v)
	mustClose(t, v)
}
