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

// What the host does not give is said in one line that names it, before
// anything of the machine exists.
func TestMissingResources(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, size int64, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	head := func(name, of string, size int64) string {
		b, err := os.ReadFile(of)
		if err != nil {
			t.Fatal(err)
		}
		return file(name, size, string(b))
	}
	const huge = 200 << 20 // sparse, more than the machine's RAM
	log := filepath.Join(dir, "console.log")

	tests := []struct {
		name    string
		machine machine
		args    []string
		code    int
		says    []string
	}{
		{"no kernel", machine{kernel: dir + "/none"}, nil, exitError,
			[]string{"os/kernel", dir + "/none", "no such file"}},
		{"directory", machine{kernel: dir}, nil, exitError,
			[]string{"os/kernel", dir, "is a directory"}},
		{"device", machine{kernel: "/dev/null"}, nil, exitError,
			[]string{"os/kernel", "/dev/null", "not a regular file"}},
		{"empty", machine{kernel: file("empty", 0, "")}, nil, exitError,
			[]string{"os/kernel", "empty", "is empty"}},
		{"text", machine{kernel: file("text", 0, strings.Repeat("not a kernel\n", 1000))}, nil, exitError,
			[]string{"os/kernel", "bzImage"}},
		{"truncated", machine{kernel: head("truncated", built.guest.Kernel.BzImage, 20000)}, nil, exitError,
			[]string{"os/kernel", "truncated"}},
		{"large kernel", machine{kernel: head("large", built.guest.Kernel.BzImage, huge)}, nil, exitError,
			[]string{"os/kernel"}},
		{"large initrd", machine{initrd: file("initrd", huge, "")}, nil, exitError,
			[]string{"os/initrd", "MiB"}},
		{"no initrd", machine{initrd: dir + "/none"}, nil, exitError,
			[]string{"os/initrd", dir + "/none", "no such file"}},
		{"long cmdline", machine{cmdline: strings.Repeat("x", 5000)}, nil, exitError,
			[]string{"os/cmdline", "5000"}},
		{"no directory", machine{devices: fileSerial(dir + "/none/log")}, nil, exitError,
			[]string{"devices/serial[1]", dir + "/none/log", "create the directory"}},
		{"no KVM", machine{}, []string{"--device=/nonexistent"}, exitHost,
			[]string{"/nonexistent", "kvm_intel", "kvm_amd"}},
		{"not KVM", machine{}, []string{"--device=/dev/null"}, exitHost,
			[]string{"/dev/null is not a KVM device"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := test.machine
			if m.devices == "" {
				m.devices = stdioSerial + fileSerial(log)
			}
			code, stdout, stderr := govmm(t, append(append([]string{"run"}, test.args...), m.write(t))...)
			if code != test.code {
				t.Errorf("exit code %d, not %d", code, test.code)
			}
			if stdout != "" {
				t.Errorf("standard output: %q", stdout)
			}
			t.Log(stderr)
			oneLine(t, stderr, append(test.says, "govmm: ")...)
			if info, err := os.Stat(log); err == nil {
				t.Errorf("%s was created, %d bytes", log, info.Size())
				os.Remove(log)
			}
		})
	}
}

// Memory that a limit would not let the guest use is refused, and the limit named.
func TestMemoryLimits(t *testing.T) {
	file := machine{memory: "<memory unit='GiB'>1</memory>"}.write(t)
	small := machine{cmdline: "test=boot exit=poweroff"}.write(t)
	group := memoryCgroup(t, 512<<20)
	for _, test := range []struct {
		name, shell string
		says        []string
	}{
		{"address space", `ulimit -v 524288; exec "$0" run "$1"`, []string{"512 MiB", "ulimit -v"}},
		{"cgroup", `echo $$ > ` + group + `/cgroup.procs; exec "$0" run "$1"`, []string{"512 MiB", "cgroup", filepath.Base(group)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := func(file string) (int, string) {
				p := prepare(t)
				p.Path, p.Args = "/bin/sh", []string{"sh", "-c", test.shell, built.govmm, file}
				p.start()
				return p.wait(), p.stderr.String()
			}
			code, stderr := run(file)
			if code != exitHost {
				t.Errorf("exit code %d", code)
			}
			t.Log(stderr)
			oneLine(t, stderr, append(test.says, "memory", "1 GiB")...)
			if code, stderr := run(small); code != exitOK {
				t.Errorf("128 MiB under the same limit: exit code %d, %s", code, stderr)
			}
		})
	}
}

// memoryCgroup makes a cgroup, below the test's own, with a limit in bytes.
func memoryCgroup(t *testing.T, limit int) string {
	t.Helper()
	needRoot(t)
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var dir, file string
	for line := range strings.Lines(string(own)) {
		// hierarchy-ID:controllers:path (cgroups(7))
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case strings.Contains(","+f[1]+",", ",memory,"):
			dir, file = filepath.Join("/sys/fs/cgroup/memory", f[2]), "memory.limit_in_bytes"
		case f[1] == "" && dir == "":
			// The root: a cgroup with processes cannot have children with controllers.
			dir, file = "/sys/fs/cgroup", "memory.max"
		}
	}
	group := filepath.Join(dir, fmt.Sprintf("govmm-test-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(group); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(group, file), fmt.Append(nil, limit), 0); err != nil {
		t.Fatal(err)
	}
	return group
}

// A user without the right to use KVM is told who may.
func TestNoPermission(t *testing.T) {
	needRoot(t)
	dir := filepath.Dir(built.govmm)
	kernel, device := filepath.Join(dir, "kernel"), filepath.Join(dir, "kvm")
	image, err := os.ReadFile(built.guest.Kernel.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	xml := filepath.Join(dir, "vm.xml")
	for path, b := range map[string][]byte{kernel: image, xml: []byte(machine{kernel: kernel}.xml())} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mknod(device, unix.S_IFCHR|0o600, int(unix.Mkdev(10, 232))); err != nil {
		t.Fatal(err)
	}
	p := prepare(t, "run", "--device="+device, xml)
	p.Dir = "/"
	p.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	p.start()
	if code := p.wait(); code != exitHost {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, p.stderr.String(), device, "permission denied", "user 65534", "group")
}

// needRoot ends a test that makes what only root may make.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make the device or the cgroup of this test")
	}
}
