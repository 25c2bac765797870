package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/govmm/govmm/vmm"
)

// A command line that is wrong is said to be so in one line, with a way out.
func TestUsage(t *testing.T) {
	valid := machine{}.write(t)
	for _, test := range []struct {
		args []string
		says []string
	}{
		{[]string{"rnu", "vm.xml"}, []string{`"rnu"`, "did you mean run?", "govmm --help"}},
		{[]string{"--log-level=info", "frobnicate"}, []string{`"frobnicate"`, "govmm --help"}},
		{[]string{"--frobnicate"}, []string{"--frobnicate", "govmm --help"}},
		{[]string{"run", "--frobnicate", valid}, []string{"--frobnicate", "govmm run --help"}},
		{[]string{"run"}, []string{"FILE", "govmm run --help"}},
		{[]string{"run", valid, valid}, []string{"FILE", "govmm run --help"}},
		{[]string{"validate"}, []string{"FILE", "govmm validate --help"}},
		{[]string{"dumpxml"}, []string{"FILE", "govmm dumpxml --help"}},
		{[]string{"version", "now"}, []string{`"now"`, "govmm version --help"}},
		{[]string{"check", "now"}, []string{`"now"`, "govmm check --help"}},
		{[]string{"run", "--console=vga", valid}, []string{"--console=vga", "tty, none"}},
		{[]string{"run", "--log-level=loud", valid}, []string{"--log-level=loud", "debug, info, warn, error"}},
		{[]string{"validate", "--log-level=loud", valid}, []string{"--log-level=loud", "debug, info, warn, error"}},
		{[]string{"run", "--log-format=xml", valid}, []string{"--log-format=xml", "text, json"}},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			code, stdout, stderr := govmm(t, test.args...)
			if code != exitError || stdout != "" {
				t.Errorf("exit code %d, standard output %q", code, stdout)
			}
			oneLine(t, stderr, append(test.says, "govmm: ")...)
		})
	}
}

// Every command explains itself, with an example.
func TestHelp(t *testing.T) {
	for _, command := range []string{"run", "validate", "dumpxml", "check", "version"} {
		code, stdout, stderr := govmm(t, command, "--help")
		if code != exitOK || stderr != "" || !strings.Contains(stdout, "Examples:\n  govmm "+command) {
			t.Errorf("%s: exit code %d, %q: %s", command, code, stderr, stdout)
		}
		for line := range strings.Lines(stdout) {
			if !strings.HasPrefix(strings.TrimSpace(line), "--") && len(line) > 81 {
				t.Errorf("%s: a line is too long for a terminal: %q", command, line)
			}
		}
		code, top, _ := govmm(t, "--help")
		if code != exitOK || !strings.Contains(top, "\n  "+command+" ") {
			t.Errorf("govmm --help says nothing of %s", command)
		}
	}
}

func TestCompletion(t *testing.T) {
	code, stdout, stderr := govmm(t, "completion", "bash")
	if code != exitOK || stderr != "" || !strings.Contains(stdout, "complete -o default -F __start_govmm govmm") {
		t.Errorf("exit code %d, %q, %d bytes", code, stderr, len(stdout))
	}
	for _, test := range []struct{ args, want string }{
		{"run --console ", "tty\nnone\n"},
		{"run --log-level ", "debug\ninfo\nwarn\nerror\n"},
		{"validate ", "xml\n:8\n"}, // 8: files with that extension
	} {
		code, stdout, _ := govmm(t, append([]string{"__complete"}, strings.Split(test.args, " ")...)...)
		if code != exitOK || !strings.HasPrefix(stdout, test.want) {
			t.Errorf("%s: exit code %d, %q", test.args, code, stdout)
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := govmm(t, "version")
	if code != exitOK || stderr != "" || !regexp.MustCompile(`^govmm v0-test \(go1\.\S+, linux/amd64\)\n$`).MatchString(stdout) {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, _ = govmm(t, "version", "--json")
	var v struct{ Version, Go, OS, Arch string }
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || code != exitOK || v.Version != "v0-test" || v.OS != "linux" {
		t.Errorf("exit code %d, %+v, %v", code, v, err)
	}
}

func TestCheck(t *testing.T) {
	code, stdout, stderr := govmm(t, "check")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for _, form := range []string{
		`(?m)^/dev/kvm can be opened +PASS$`, `(?m)^KVM_CAP_IRQCHIP +PASS$`, `(?m)^guest kernel code +(PASS|WARN: interpreted)$`,
	} {
		if !regexp.MustCompile(form).MatchString(stdout) {
			t.Errorf("no line %s in:\n%s", form, stdout)
		}
	}

	code, stdout, _ = govmm(t, "check", "--json")
	var r vmm.HostReport
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK {
		t.Fatalf("exit code %d: %v", code, err)
	}
	if r.Path != "/dev/kvm" || !r.Usable() || len(r.Required) == 0 || r.MaxVCPUs < 1 || r.GuestMIPS <= 0 || r.HostMIPS <= 0 {
		t.Errorf("report %+v", r)
	}

	for _, args := range [][]string{{"check", "--device=/nonexistent"}, {"check", "--json", "--device=/dev/null"}} {
		code, stdout, stderr := govmm(t, args...)
		if code != exitHost || stdout != "" {
			t.Errorf("%v: exit code %d, %q", args, code, stdout)
		}
		oneLine(t, stderr, strings.TrimPrefix(args[len(args)-1], "--device="))
	}
}

// Each line of a JSON log is an object, the last words after it excepted.
func TestJSONLog(t *testing.T) {
	code, stdout, stderr := govmm(t, "run", "--log-level=debug", "--log-format=json",
		machine{cmdline: "test=boot exit=poweroff", devices: ptySerial + nullSerial}.write(t))
	if code != exitOK || !strings.Contains(stdout, "\ndone ") || strings.Contains(stdout, `"level"`) {
		t.Errorf("exit code %d, standard output %s", code, stdout)
	}
	lines := 0
	for line := range strings.Lines(stderr) {
		var entry struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Msg == "" || entry.Level == "" {
			t.Errorf("%v: %q", err, line)
		}
		lines++
	}
	if lines == 0 {
		t.Error("nothing was logged")
	}
}
