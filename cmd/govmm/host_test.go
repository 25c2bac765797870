package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm/statedir"
)

// What the host does not give is said in one line that names it.
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
	kernel, err := os.ReadFile(built.guest.Kernel.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	const huge = 200 << 20 // sparse, more than the machine's RAM
	large := slices.Clone(kernel)
	const syssize = 0x1F4 // of the protected-mode kernel, in units of 16 bytes
	binary.LittleEndian.PutUint32(large[syssize:], (huge-64<<10)/16)
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
			[]string{"os/kernel", "/dev/null is not a regular file"}},
		{"empty", machine{kernel: file("empty", 0, "")}, nil, exitError,
			[]string{"os/kernel", dir + "/empty", "is empty"}},
		{"text", machine{kernel: file("text", 0, strings.Repeat("not a kernel\n", 1000))}, nil, exitError,
			[]string{"os/kernel", dir + "/text", "not a kernel", "text file"}},
		{"truncated", machine{kernel: file("truncated", 20000, string(kernel))}, nil, exitError,
			[]string{"os/kernel", "truncated", "20000", strconv.Itoa(len(kernel))}},
		{"large kernel", machine{kernel: file("large", huge, string(large))}, nil, exitError,
			[]string{"os/kernel", dir + "/large", "bytes of RAM", "more memory"}},
		{"large initrd", machine{initrd: file("initrd", huge, "")}, nil, exitError,
			[]string{"os/initrd", dir + "/initrd", strconv.Itoa(huge), "do not fit", "more memory"}},
		{"no initrd", machine{initrd: dir + "/none"}, nil, exitError,
			[]string{"os/initrd", dir + "/none", "no such file"}},
		{"long cmdline", machine{cmdline: strings.Repeat("x", 5000)}, nil, exitError,
			[]string{"os/cmdline", "command line", "5000", "at most"}},
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
			oneLine(t, stderr, append(test.says, "govmm: ")...)
			if _, err := os.Stat(log); err == nil {
				t.Errorf("%s was created", log)
			}
			os.Remove(log)
		})
	}
}

// Memory that a limit would not let the guest use is refused, and the limit named.
func TestMemoryLimits(t *testing.T) {
	gib := func(n int) string { return machine{memory: fmt.Sprintf("<memory unit='GiB'>%d</memory>", n)}.write(t) }
	small := machine{cmdline: "test=boot exit=poweroff"}.write(t)
	group := memoryCgroup(t, 512<<20)
	for _, test := range []struct {
		name, shell, large string
		says               []string
	}{
		// The Go runtime reserves address space for itself, and does not start with
		// less than some 1.4 GiB.
		{"address space", `ulimit -v 2097152; exec "$0" run "$1"`, gib(4), []string{"4 GiB", "2 GiB", "ulimit -v"}},
		{"cgroup", `echo $$ > ` + group + `/cgroup.procs; exec "$0" run "$1"`, gib(1), []string{"1 GiB", "512 MiB", "cgroup", filepath.Base(group)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := func(file string) (int, string) {
				p := prepare(t)
				p.Path, p.Args = "/bin/sh", []string{"sh", "-c", test.shell, built.govmm, file}
				p.start()
				return p.wait(), p.stderr.String()
			}
			code, stderr := run(test.large)
			if code != exitHost {
				t.Errorf("exit code %d", code)
			}
			oneLine(t, stderr, append(test.says, "govmm: memory: ")...)
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
	p, device := prepareAsNobody(t, machine{kernel: built.echo}, 0o600)
	p.start()
	if code := p.wait(); code != exitHost {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, p.stderr.String(), device, "permission denied", "user 65534", "group")
}

// prepareAsNobody is prepare of "run" for another user, to whom a KVM device of
// the given mode is shown. All files are in a directory that this user can read.
func prepareAsNobody(t *testing.T, m machine, mode uint32) (p *process, device string) {
	t.Helper()
	needRoot(t)
	dir, err := os.MkdirTemp(filepath.Dir(built.govmm), "")
	if err != nil {
		t.Fatal(err)
	}
	xml, device := filepath.Join(dir, "vm.xml"), filepath.Join(dir, "kvm")
	if err := errors.Join(
		os.Chmod(dir, 0o755),
		os.Chown(dir, 65534, 65534),
		os.WriteFile(xml, []byte(m.xml()), 0o644),
		unix.Mknod(device, unix.S_IFCHR, int(unix.Mkdev(10, 232))), // as misc.h has it
		os.Chmod(device, os.FileMode(mode)),
	); err != nil {
		t.Fatal(err)
	}
	p = prepare(t, "run", "--device="+device, xml)
	p.Dir = dir
	p.Env = append(os.Environ(), statedir.RootVariable+"="+filepath.Join(dir, "run"))
	p.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	return p, device
}

// needRoot ends a test that makes what only root may make.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can make the device or the cgroup of this test")
	}
}
