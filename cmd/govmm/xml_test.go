package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// broken has three errors, on lines 3 (twice) and 6.
const broken = `<domain type='kvm'>
<name>broken</name>
<memory unit='XiB'>many</memory>
<os><type>hvm</type><kernel>/boot/vmlinuz</kernel></os>
<devices>
<disk type='file' device='paper'/>
</devices>
</domain>
`

// unsupported is valid and needs what there is no machine without firmware for.
const unsupported = `<domain type='xen'>
<name>unsupported</name>
<memory>1024</memory>
<os><type>hvm</type></os>
</domain>
`

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every error of a file is a line that an editor can jump to.
func TestErrorLines(t *testing.T) {
	for name, test := range map[string]struct {
		xml   string
		code  int
		least int
	}{
		"invalid":     {broken, exitInvalid, 2},
		"unsupported": {unsupported, exitUnsupported, 1},
		"malformed":   {"<domain><name>", exitInvalid, 1},
		"empty":       {"", exitInvalid, 1},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "vm.xml", test.xml)
			code, stdout, stderr := govmm(t, "validate", file)
			if code != test.code || stdout != "" {
				t.Errorf("exit code %d, standard output %q", code, stdout)
			}
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			if len(lines) < test.least {
				t.Errorf("%d lines: %s", len(lines), stderr)
			}
			form := regexp.MustCompile(`^` + regexp.QuoteMeta(file) + `:\d+:\d+: .+`)
			for _, line := range lines {
				if !form.MatchString(line) {
					t.Errorf("not file:line:column: message: %q", line)
				}
			}
			for _, other := range [][]string{{"run", file}, {"run", "--device=/nonexistent", file}} {
				code, _, said := govmm(t, other...)
				if code != test.code || said != stderr {
					t.Errorf("%s says with exit code %d:\n%s\nvalidate:\n%s", other[0], code, said, stderr)
				}
			}
		})
	}
}

// With many files, each is judged and the worst decides.
func TestValidateMany(t *testing.T) {
	good := machine{}.write(t)
	bad := writeFile(t, "bad.xml", broken)
	xen := writeFile(t, "xen.xml", unsupported)
	none := filepath.Join(t.TempDir(), "none.xml")
	here := machine{kernel: "/nonexistent/kernel"}.write(t)
	for _, test := range []struct {
		name  string
		args  []string
		code  int
		valid int // files that are said to be
	}{
		{"good", []string{good}, exitOK, 1},
		{"twice", []string{good, good}, exitOK, 2},
		{"quiet", []string{"-q", good, good}, exitOK, 0},
		{"unsupported", []string{good, xen, good}, exitUnsupported, 2},
		{"unreadable", []string{none, xen, good}, exitError, 1},
		{"directory", []string{filepath.Dir(none), good}, exitError, 1},
		{"invalid", []string{bad, none, xen, good}, exitInvalid, 1},
		{"not asked", []string{here}, exitOK, 1},
		{"missing on this host", []string{"--host", good, here}, exitError, 1},
		{"on this host", []string{"--host", good}, exitOK, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := govmm(t, append([]string{"validate"}, test.args...)...)
			if code != test.code {
				t.Errorf("exit code %d, not %d", code, test.code)
			}
			if n := strings.Count(stdout, ": valid\n"); n != test.valid {
				t.Errorf("%d valid, not %d: %s", n, test.valid, stdout)
			}
			if (code == exitOK) != (stderr == "") {
				t.Errorf("standard error: %q", stderr)
			}
		})
	}
	code, stdout, stderr := govmm(t, "validate", "--json", good, bad, none)
	var verdicts []struct {
		File string
		Code int
		Said []string
	}
	if err := json.Unmarshal([]byte(stdout), &verdicts); err != nil || code != exitInvalid || stderr != "" || len(verdicts) != 3 {
		t.Fatalf("exit code %d, %q, %v: %s", code, stderr, err, stdout)
	}
	for i, want := range []struct {
		file string
		code int
		said string
	}{{good, exitOK, ""}, {bad, exitInvalid, bad + ":"}, {none, exitError, "no such file"}} {
		v := verdicts[i]
		if v.File != want.file || v.Code != want.code || (len(v.Said) > 0) != (want.said != "") || !strings.Contains(strings.Join(v.Said, "\n"), want.said) {
			t.Errorf("verdict %+v, want %+v", v, want)
		}
	}
	_, _, stderr = govmm(t, "validate", "--host", here)
	oneLine(t, stderr, here+": os/kernel", "/nonexistent/kernel", "no such file")
	_, _, stderr = govmm(t, "validate", none)
	oneLine(t, stderr, "govmm: ", none, "no such file")
}

// "-" is the standard input.
func TestStandardInput(t *testing.T) {
	for _, command := range []string{"validate", "dumpxml", "run"} {
		p := prepare(t, command, "-")
		p.Stdin = strings.NewReader(machine{cmdline: "test=boot exit=poweroff"}.xml())
		p.start()
		if code := p.wait(); code != exitOK || p.stdout.String() == "" {
			t.Errorf("%s: exit code %d: %s", command, code, &p.stderr)
		}
	}
	p := prepare(t, "validate", "-")
	p.Stdin = strings.NewReader(broken)
	p.start()
	if code := p.wait(); code != exitInvalid || !strings.HasPrefix(p.stderr.String(), "-:3:") {
		t.Errorf("exit code %d: %s", code, &p.stderr)
	}
}

// What dumpxml prints, it prints again.
func TestDumpxmlIdentity(t *testing.T) {
	files := map[string]string{"unsupported": unsupported, "machine": machine{cmdline: "a=b &amp; c"}.xml()}
	examples, err := filepath.Glob("../../examples/*.xml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, name := range examples {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = string(b)
	}
	for name, xml := range files {
		t.Run(name, func(t *testing.T) {
			code, first, stderr := govmm(t, "dumpxml", writeFile(t, "vm.xml", xml))
			if code != exitOK || stderr != "" || !strings.Contains(first, "<domain") {
				t.Fatalf("exit code %d, standard error %q, output %q", code, stderr, first)
			}
			code, second, stderr := govmm(t, "dumpxml", writeFile(t, "vm.xml", first))
			if code != exitOK || stderr != "" || second != first {
				t.Errorf("exit code %d, standard error %q, output\n%s\nthe first time\n%s", code, stderr, second, first)
			}
		})
	}
	if code, stdout, stderr := govmm(t, "dumpxml", writeFile(t, "vm.xml", broken)); code != exitInvalid || stdout != "" ||
		strings.Contains(stderr, "govmm: ") {
		t.Errorf("invalid file: exit code %d, %q, %q", code, stdout, stderr)
	}
}

// A warning is printed once, and the machine runs.
func TestWarnings(t *testing.T) {
	xml := strings.Replace(machine{cmdline: "test=boot exit=poweroff"}.xml(), "'kvm'", "'qemu'", 1)
	file := writeFile(t, "vm.xml", xml)
	for _, command := range []string{"run", "validate"} {
		code, _, stderr := govmm(t, command, file)
		if code != exitOK {
			t.Errorf("%s: exit code %d", command, code)
		}
		oneLine(t, stderr, file+":1:", "qemu")
	}
}

// The examples are what this version can run.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.xml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	p := prepare(t, append([]string{"validate"}, files...)...).start()
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr.String())
	}
}
