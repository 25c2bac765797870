package early

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParameter(t *testing.T) {
	for _, test := range []struct {
		cmdline, value string
		ok             bool
	}{
		{"quiet action=halt console=ttyS0", "halt", true},
		{"action=halt action=x=y", "x=y", true},
		{"a action b", "", true},
		{"reaction=no", "", false},
		{"", "", false},
	} {
		if value, ok := Parameter(test.cmdline, "action"); value != test.value || ok != test.ok {
			t.Errorf("Parameter(%q) = %q, %v", test.cmdline, value, ok)
		}
	}
}

func TestLoadModulesErrors(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := LoadModules(list, nil); err != nil {
		t.Errorf("an image without modules: %v", err)
	}
	if err := os.WriteFile(list, []byte("no_a.ko x=1\n\nno_b.ko\nunwanted.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := LoadModules(list, func(name string) bool { return name != "unwanted" })
	if err == nil {
		t.Fatal("modules that are not there were loaded")
	}
	for name, want := range map[string]bool{"no_a.ko": true, "no_b.ko": true, "unwanted": false} {
		if strings.Contains(err.Error(), name) != want {
			t.Errorf("%s: want %v in %v", name, want, err)
		}
	}
}

func TestWaitPress(t *testing.T) {
	event := func(kind, code uint16, value uint32) []byte {
		e := make([]byte, 16, inputEventSize)
		e = binary.LittleEndian.AppendUint16(e, kind)
		e = binary.LittleEndian.AppendUint16(e, code)
		return binary.LittleEndian.AppendUint32(e, value)
	}
	for _, test := range []struct {
		name   string
		events [][]byte
		ok     bool
	}{
		{"press", [][]byte{event(0, 0, 0), event(evKey, keyPower, keyPressed)}, true},
		{"release", [][]byte{event(evKey, keyPower, 0)}, false},
		{"other key", [][]byte{event(evKey, 30, keyPressed)}, false},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range test.events {
			if _, err := w.Write(e); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		if err := waitPress(r); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		r.Close()
	}
}
