package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// img runs `govmm img` in a directory, and wants an exit code.
func img(t *testing.T, dir string, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	p := prepare(t, append([]string{"img"}, args...)...)
	p.Dir = dir
	code := p.start().wait()
	if code != want {
		t.Errorf("img %s: exit code %d, not %d\n%s%s", strings.Join(args, " "), code, want, &p.stdout, &p.stderr)
	}
	return p.stdout.String(), p.stderr.String()
}

// A life of images, from their creation to their being merged.
func TestImg(t *testing.T) {
	dir := t.TempDir()
	says := func(want string, code int, args ...string) {
		t.Helper()
		stdout, stderr := img(t, dir, code, args...)
		if said := stdout + stderr; !strings.Contains(said, want) || want == "" && said != "" {
			t.Errorf("img %s: %q is not in\n%s", strings.Join(args, " "), want, said)
		}
	}
	says("Formatting 'a.qed', fmt=qed size=1048576\n", 0, "create", "-f", "qed", "-o", "cluster_size=4k", "a.qed", "1M")
	says("", 0, "create", "-q", "b.raw", "512")
	says("cluster_size", 0, "create", "-f", "qed", "-o", "help")
	says("file format: qed\nvirtual size: 1 MiB (1048576 bytes)\n", 0, "info", "-f", "qed", "a.qed")
	says("the format qed is guessed", 0, "info", "a.qed")
	says("Image resized.", 0, "resize", "-f", "qed", "a.qed", "+512k")
	says("Image resized.", 0, "resize", "--shrink", "-f", "raw", "b.raw", "1M")
	says("Image resized.", 0, "resize", "--shrink", "-f", "raw", "b.raw", "-512k")
	says("--shrink", 1, "resize", "-f", "raw", "b.raw", "512")
	says("Warning: Image size mismatch!\nImages are identical.\n", 0, "compare", "-f", "qed", "-F", "raw", "a.qed", "b.raw")
	says("Strict mode: Image size mismatch!", 1, "compare", "-s", "-f", "qed", "-F", "raw", "a.qed", "b.raw")
	says("No errors were found", 0, "check", "-f", "qed", "a.qed")
	says("nothing that could be checked", 63, "check", "-f", "raw", "b.raw")
	says("1572864 bytes", 0, "info", "-f", "qed", "a.qed")

	if err := os.WriteFile(filepath.Join(dir, "b.raw"), append(make([]byte, 8192), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	says("", 0, "convert", "-f", "raw", "-O", "qed", "b.raw", "c.qed")
	says("Content mismatch at offset 8192!\n", 1, "compare", "-f", "qed", "-F", "qed", "a.qed", "c.qed")
	says("", 0, "create", "-q", "-f", "qed", "-b", "b.raw", "-F", "raw", "over.qed", "64k")
	says("backing file: b.raw\nbacking file format: raw", 0, "info", "-f", "qed", "over.qed")
	says(`{"start":0,"length":8193,"depth":1,"present":true,"zero":false,"data":true}`, 0, "map", "-f", "qed", "--output=json", "over.qed")
	says("0x2001", 0, "map", "-f", "qed", "over.qed")
	says("Image committed.", 0, "commit", "-f", "qed", "over.qed")
	says("", 0, "snapshot", "-l", "-f", "qed", "over.qed")

	says("", 0, "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd", "b.raw", "d.qcow2")
	says("compression type: zstd", 0, "info", "-f", "qcow2", "d.qcow2")
	says("1/1 = 100.00% allocated, 0.00% fragmented, 100.00% compressed clusters", 0, "check", "-f", "qcow2", "d.qcow2")
	if out, err := exec.Command("qemu-img", "snapshot", "-c", "before", filepath.Join(dir, "d.qcow2")).CombinedOutput(); err != nil {
		t.Fatalf("%v (package qemu-utils)\n%s", err, out)
	}
	says("1         before", 0, "snapshot", "-l", "-f", "qcow2", "d.qcow2")

	stdout, _ := img(t, dir, 0, "info", "-f", "qed", "--backing-chain", "--output=json", "over.qed")
	var chain []struct {
		Filename string `json:"filename"`
		Size     int64  `json:"virtual-size"`
	}
	if err := json.Unmarshal([]byte(stdout), &chain); err != nil || len(chain) != 2 || chain[1].Size != 64<<10 {
		t.Errorf("%v: %s", err, stdout)
	}
}

// The exit codes of a check are qemu-img's.
func TestImgCheckCodes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	img(t, dir, 0, "create", "-q", "-f", "qed", "-o", "cluster_size=4k,table_size=2", "a", "1M")
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	leaky := append(image[:len(image):len(image)], make([]byte, 4096)...)
	corrupt := append([]byte(nil), image...)
	binary.LittleEndian.PutUint64(corrupt[4096:], 5)
	for _, test := range []struct {
		image []byte
		args  []string
		code  int
		says  string
	}{
		{leaky, nil, 3, "1 leaked clusters were found"},
		{corrupt, nil, 2, "1 errors were found"},
		{corrupt, []string{"-r", "all"}, 0, "repaired:\n\n    0 leaked clusters\n    1 corruptions"},
		{image[:100], nil, 1, "not a valid QED image"},
		{image, []string{"-r", "some"}, 1, "leaks, all"},
		{image, []string{"-r", "leaks", "-U"}, 1, "in use"},
	} {
		if err := os.WriteFile(path, test.image, 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr := img(t, dir, test.code, append([]string{"check", "-f", "qed", "a"}, test.args...)...)
		if !strings.Contains(stdout+stderr, test.says) {
			t.Errorf("%v: %q is not in %s%s", test.args, test.says, stdout, stderr)
		}
	}
}

// What is wrong with a command line is said in one line.
func TestImgUsage(t *testing.T) {
	dir := t.TempDir()
	img(t, dir, 0, "create", "-q", "-f", "qed", "a.qed", "1M")
	for _, test := range []struct {
		args string
		code int
		says []string
	}{
		{"frobnicate", 1, []string{`"frobnicate"`, "govmm img --help"}},
		{"create", 1, []string{"FILE is missing"}},
		{"create a b c", 1, []string{`"c" is too much`}},
		{"create a 1x", 1, []string{`"1x" is no size`}},
		{"create -f vhd a 1M", 1, []string{`"vhd"`, "raw, qcow2"}},
		{"create -f qed -b x a 1M", 1, []string{"never guessed", "-F"}},
		{"create --secret none -f luks a 1M", 1, []string{"none", "no such file"}},
		{"convert a.qed b", 1, []string{"-f FMT", "it looks like qed"}},
		{"convert -f qed a.qed", 1, []string{"NEW is missing"}},
		{"convert -f qed -S 100 a.qed b", 1, []string{"-S 100"}},
		{"convert -f qed -m 0 a.qed b", 1, []string{"-m 0"}},
		{"convert -f qed -t fast a.qed b", 1, []string{`"fast"`, "unsafe"}},
		{"convert -f qed --target-is-zero a.qed b", 1, []string{"-n"}},
		{"convert -f qed -o a=b a.qed b", 1, []string{`"a"`}},
		{"resize -f qed a.qed -2M", 1, []string{"more than 0"}},
		{"snapshot -f qed a.qed", 1, []string{"-l"}},
		{"info none", 1, []string{"none", "no such file"}},
		{"info --output=xml a.qed", 1, []string{"human, json"}},
		{"compare -f qed a.qed a.qed", 2, []string{"-F"}},
		{"compare -f qed -F qed a.qed none", 2, []string{"none"}},
		{"commit -f qed a.qed", 1, []string{"no backing file"}},
	} {
		stdout, stderr := img(t, dir, test.code, strings.Fields(test.args)...)
		if stdout != "" {
			t.Errorf("%s: %s", test.args, stdout)
		}
		oneLine(t, stderr, test.says...)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("something is left: %v, %v", left, err)
	}
}

// Every command of img explains itself, within 80 columns but for its flags.
func TestImgHelp(t *testing.T) {
	for _, command := range []string{"create", "info", "check", "convert", "resize", "snapshot", "commit", "compare", "map"} {
		stdout, _ := img(t, t.TempDir(), 0, command, "--help")
		if !strings.Contains(stdout, "Examples:\n  govmm img "+command) {
			t.Errorf("%s has no example:\n%s", command, stdout)
		}
		for line := range strings.Lines(stdout) {
			if !strings.HasPrefix(strings.TrimSpace(line), "-") && len(line) > 81 {
				t.Errorf("%s: a line is too long for a terminal: %q", command, line)
			}
		}
	}
}

// A signal ends a copy, of which nothing is left.
func TestImgInterrupted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "copy")
	if err := os.WriteFile(filepath.Join(dir, "large"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "large"), 4<<40); err != nil {
		t.Fatal(err)
	}
	p := prepare(t, "img", "convert", "-p", "-S", "0", "-f", "raw", "-O", "raw", "large", "copy")
	p.Dir = dir
	p.start()
	eventually(t, func() bool { return strings.Contains(p.stderr.String(), "MiB") }, func() string { return "no progress is shown" })
	p.signal(unix.SIGINT)
	if code := p.wait(); code != exitSignal+int(unix.SIGINT) {
		t.Errorf("exit code %d: %s", code, &p.stderr)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Error("something is left of the copy")
	}
}
