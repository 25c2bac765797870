package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/govmm/govmm"

// arrows names, for each room, the rooms its packages may import. A package
// may always import its own room. docs/architecture.md draws the same picture.
var arrows = map[string][]string{
	"cmd":     {"vmm", "domcfg"},
	"vmm":     {"boot", "devices", "virtio", "chardev", "net", "block", "memory", "kvm", "domcfg"},
	"boot":    {"memory"},
	"virtio":  {"devices", "chardev", "net", "block", "memory"},
	"devices": {"chardev", "net", "block", "memory"},
	"chardev": {},
	"net":     {},
	"block":   {},
	"memory":  {},
	"kvm":     {},
	"domcfg":  {},
}

// bans names, for each room, the imports from outside the module that it may
// not have, even indirectly.
var bans = map[string][]string{
	"domcfg":  {"golang.org/x/sys/unix", "github.com/bobuhiro11/gokvm", "syscall/js"},
	"devices": {"github.com/bobuhiro11/gokvm"},
	"virtio":  {"github.com/bobuhiro11/gokvm"},
}

// private names packages that one room alone imports, though the arrows let others:
// a machine knows nothing of how it is controlled.
var private = map[string]string{
	module + "/vmm/qmp":      "cmd",
	module + "/vmm/statedir": "cmd",
}

// doors name packages that a room imports though their room is not among those it
// may: what works without a machine.
var doors = map[string]string{
	module + "/block/image": "cmd",
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

// TestArrows fails when a package imports a room that lies above or beside its
// own.
func TestArrows(t *testing.T) {
	for _, p := range list(t) {
		room := roomOf(p.ImportPath)
		if room == "" || room == "tests" || room == "examples" || room == "docs" {
			continue
		}
		allowed, known := arrows[room]
		if !known {
			t.Errorf("%s: room %q is not on the map of the house", p.ImportPath, room)
			continue
		}
		for _, imp := range p.Imports {
			if only, ok := private[imp]; ok && room != only {
				t.Errorf("%s imports %s, which is for %s alone", p.ImportPath, imp, only)
			}
			to := roomOf(imp)
			if to == "" || to == room || doors[imp] == room {
				continue
			}
			if !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s: %s may import only %s", p.ImportPath, imp, room, strings.Join(allowed, ", "))
			}
		}
		for _, dep := range p.Deps {
			for _, ban := range bans[room] {
				if dep == ban || strings.HasPrefix(dep, ban+"/") {
					t.Errorf("%s depends on %s, which room %s must not know", p.ImportPath, dep, room)
				}
			}
		}
	}
}

// TestNoCgo fails when a package of the module, or one it needs, is built with
// cgo: the binary is static.
func TestNoCgo(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if .CgoFiles}}{{if not .Standard}}{{.ImportPath}}{{end}}{{end}}", module+"/cmd/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for _, p := range strings.Fields(string(out)) {
		t.Errorf("%s uses cgo", p)
	}
}

func list(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps,Standard", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if !p.Standard && roomOf(p.ImportPath) != "" {
			pkgs = append(pkgs, p)
		}
	}
	if len(pkgs) < 10 {
		t.Fatalf("go list found only %d packages of the module", len(pkgs))
	}
	return pkgs
}

// roomOf returns the first path element below the module, "" for any other
// package.
func roomOf(path string) string {
	rest, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	room, _, _ := strings.Cut(rest, "/")
	return room
}
