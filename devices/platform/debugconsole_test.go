package platform

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestDebugConsole(t *testing.T) {
	var log, out bytes.Buffer
	level := &slog.LevelVar{}
	level.Set(slog.LevelDebug)
	d := NewDebugConsole(DebugConsoleOptions{
		Log:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})),
		Output: &out,
	})
	one := []byte{0, 0}
	if d.Read(0, one); one[0] != 0xE9 || one[1] != 0xE9 {
		t.Errorf("reads %x", one)
	}
	text := "SeaBIOS (version 1)\r\nhalf"
	for i := range len(text) {
		d.Write(0, []byte{text[i]})
	}
	d.Write(0, []byte(" a line"))
	d.Reset()
	d.Reset()
	if out.String() != text+" a line" {
		t.Errorf("output %q", &out)
	}
	if s := log.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, `line="SeaBIOS (version 1)"`) || !strings.Contains(s, `line="half a line"`) {
		t.Error(s)
	}

	log.Reset()
	for range 3 * debugLine {
		d.Write(0, []byte{'x'})
	}
	d.Write(0, []byte{'\n'})
	if n := strings.Count(log.String(), "\n"); n != 3 || log.Len() > 3*(debugLine+100) {
		t.Errorf("%d lines for a long one", n)
	}
	log.Reset()
	for range 2 * debugLines {
		d.Write(0, []byte{'\n'})
	}
	if n := strings.Count(log.String(), "\n"); n != debugLines-3+1 { // the last one says that there are no more
		t.Errorf("%d lines", n)
	}
	d.Reset()
	log.Reset()
	d.Write(0, []byte("again\n"))
	if !strings.Contains(log.String(), "again") {
		t.Error("silent after a reset")
	}

	level.Set(slog.LevelInfo)
	line := []byte("a line\n")
	quiet := NewDebugConsole(DebugConsoleOptions{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))})
	if n := testing.AllocsPerRun(100, func() { quiet.Write(0, line); quiet.Read(0, line[:1]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	NewDebugConsole(DebugConsoleOptions{}).Write(0, line)
}
