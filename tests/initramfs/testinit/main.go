// Command testinit is the first process of a test's guest. It says on the
// console what machine it finds, one fact a line, then does what the kernel
// command line asks:
//
//	init: up
//	init: release 6.1.0-50-cloud-amd64
//	init: cpus 0-1
//	...
//	init: ready
//	init: action poweroff
//
// Parameters of the command line:
//
//	test=FACT,...   the facts to report; default all (reports in report.go)
//	action=ACTION   what to do then; default poweroff (actions in action.go)
//
// What goes wrong is said as "init: error ...", and does not keep it from
// doing the rest.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/initramfs/early"
)

// say prints one line to the console, with one write, so that lines of the
// kernel's do not come between.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stdout, "init: "+format+"\n", args...)
}

func complain(err error) {
	if err == nil {
		return
	}
	for line := range strings.Lines(err.Error()) {
		say("error %s", strings.TrimSpace(line))
	}
}

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "testinit: this program is the first process of a guest")
		os.Exit(1)
	}
	say("up")
	complain(early.MountAll(early.Kernel()...))
	complain(early.LoadModules(initramfs.ModuleList, nil))
	cmdline, err := early.Text("/proc/cmdline")
	complain(err)

	wanted, some := early.Parameter(cmdline, "test")
	for _, r := range reports() {
		if some && !contains(wanted, r.name) {
			continue
		}
		complain(r.report())
	}
	say("ready")

	name, ok := early.Parameter(cmdline, "action")
	if !ok {
		name = "poweroff"
	}
	action, ok := actions()[name]
	if !ok {
		complain(fmt.Errorf("no action is named %q", name))
		name, action = "poweroff", early.PowerOff
	}
	say("action %s", name)
	early.Drain()
	complain(action())
	// Here the action did not end the machine. Returning would be a panic.
	say("still here")
	complain(early.PowerOff())
	select {}
}

// contains tells whether a comma-separated list has an item.
func contains(list, item string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if s == item {
			return true
		}
	}
	return false
}
