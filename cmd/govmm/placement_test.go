package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// From outside, the threads of a machine are where its domain wants them, and have names.
func TestPlacement(t *testing.T) {
	p := prepare(t, "run", machine{cmdline: "test=boot exit=hang", extra: "<vcpu cpuset='1'>2</vcpu>" +
		"<cputune><vcpupin vcpu='1' cpuset='0'/></cputune>"}.write(t)).start()
	defer p.stop()
	p.await("done ")
	var vcpus []thread
	if err := json.Unmarshal([]byte(ok(t, "vcpuinfo", "--json", "test")), &vcpus); err != nil || len(vcpus) != 2 {
		t.Fatalf("vcpuinfo: %v, %v", vcpus, err)
	}
	want := map[string]string{}
	for i, cpu := range []string{"1", "0"} {
		if vcpus[i].Mask != cpu {
			t.Errorf("vCPU %d may run on %s, want %s", i, vcpus[i].Mask, cpu)
		}
		want[fmt.Sprint(vcpus[i].TID)] = cpu
	}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid))
	if err != nil || len(files) < 3 {
		t.Fatalf("threads %v, %v", files, err)
	}
	names := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		match := regexp.MustCompile(`(?s)^Name:\t(\S+).*\nCpus_allowed_list:\t(\S+)`).FindStringSubmatch(string(text))
		if match == nil {
			t.Fatalf("%s: %s", f, text)
		}
		name, cpus := match[1], match[2]
		names[name] = true
		if strings.HasPrefix(name, "kvm-") {
			continue // a thread that KVM makes for itself, from a vCPU's
		}
		cpu := want[filepath.Base(filepath.Dir(f))]
		if cpu == "" {
			cpu = "1" // of <vcpu>
		}
		if cpus != cpu {
			t.Errorf("thread %s (%s) may run on %s, want %s", name, f, cpus, cpu)
		}
	}
	if !names["test/vcpu0"] || !names["test/vcpu1"] {
		t.Errorf("the threads are called %v", names)
	}

	absent := machine{extra: "<vcpu cpuset='8000'>1</vcpu>"}.write(t)
	code, _, stderr := govmm(t, "run", "--no-control", absent)
	if code != exitHost {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, stderr, "govmm: ", "vm.xml:", "vcpu: there is no CPU 8000 on this host")
	code, _, stderr = govmm(t, "validate", "--host", absent)
	if code != exitHost {
		t.Errorf("validate: exit code %d", code)
	}
	oneLine(t, stderr, "vcpu: there is no CPU 8000 on this host")
}
