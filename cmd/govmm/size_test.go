package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// resize makes the window larger or smaller, of which its foreground job is told.
func (w *window) resize(columns, rows uint16) {
	w.t.Helper()
	size := unix.Winsize{Col: columns, Row: rows}
	if err := unix.IoctlSetWinsize(int(w.master.Fd()), unix.TIOCSWINSZ, &size); err != nil {
		w.t.Fatal(err)
	}
}

// A virtio console has the size of the terminal that shows it, from the start
// on. The guest prints that on its serial port.
func TestConsoleSize(t *testing.T) {
	for _, kind := range []string{"stdio", "pty"} {
		t.Run(kind, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			devices := `<controller type='virtio-serial' index='0'/>
<console type='` + kind + `'><target type='virtio' port='0'/></console>`
			if kind == "stdio" {
				devices += fileSerial(log)
			} else {
				// A serial port would be the first console.
				log = ""
			}
			w := openWindow(t).watch()
			w.resize(101, 43)
			p := prepare(t, "run", machine{cmdline: "test=virtio-console exit=reboot", devices: devices}.write(t))
			p.Stdin, p.Stdout, p.Stderr = w.slave, w.slave, w.slave
			p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			p.start()
			w.await("hello from the only port")
			if log != "" {
				says := func(size string) {
					t.Helper()
					var text []byte
					eventually(t, func() bool {
						text, _ = os.ReadFile(log)
						return strings.Contains(string(text), "config "+size+",")
					}, func() string { return fmt.Sprintf("no size %s in %s", size, text) })
				}
				says("101x43")
				w.resize(64, 128)
				says("64x128")
				w.resize(0, 0) // it does not know any more
				w.resize(65535, 1)
				says("65535x1")
			}
			w.typed("\x1d")
			if code := p.wait(); code != exitSignal+int(unix.SIGINT) {
				t.Errorf("exit code %d", code)
			}
			w.restored()
		})
	}
}

// Where standard output is no terminal, there is no size to follow.
func TestNoSizeToFollow(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := openWindow(t).watch()
	for name, stop := range map[string]func(){
		"a file":     followSize(t.Context(), nil, "console0", file, nil),
		"no console": followSize(t.Context(), nil, "", w.slave, nil),
		"no size":    followSize(t.Context(), nil, "console0", w.slave, nil),
	} {
		t.Run(name, func(*testing.T) { stop() }) // and nobody was told: there is no machine
	}
}
