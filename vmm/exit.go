package vmm

import (
	"fmt"
	"strings"
)

// Cause is why a guest ended or was reset.
type Cause int

const (
	// CausePowerOff: the guest switched the machine off.
	CausePowerOff Cause = iota + 1
	// CauseReset: the guest asked for a reset, or a triple fault, which is a
	// reset on a PC, happened. Exit.Source tells which.
	CauseReset
	// CausePanic: the guest's kernel told the pvpanic device that it panicked.
	CausePanic
	// CauseInternalError: KVM could not go on with the guest (an instruction
	// it cannot emulate, say).
	CauseInternalError
	// CauseFailedEntry: the processor refused the guest's state.
	CauseFailedEntry
	// CauseStopped: the program stopped the machine: Destroy, Close, or the
	// end of Run's context.
	CauseStopped
	// CauseDebugExit: the guest wrote to the debug-exit port, which only
	// machines with Options.DebugExit have. Exit.Code is what it wrote.
	CauseDebugExit
	// CauseHost: a failure on the host's side (KVM_RUN failed, a boot image
	// vanished before a restart). Exit.Detail tells it.
	CauseHost
)

var causeNames = [...]string{
	CausePowerOff:      "power-off",
	CauseReset:         "reset",
	CausePanic:         "panic",
	CauseInternalError: "KVM internal error",
	CauseFailedEntry:   "failed entry",
	CauseStopped:       "stopped",
	CauseDebugExit:     "debug exit",
	CauseHost:          "host failure",
}

// String names the cause for a log.
func (c Cause) String() string {
	if c > 0 && int(c) < len(causeNames) {
		return causeNames[c]
	}
	return fmt.Sprintf("cause(%d)", int(c))
}

// sourceTripleFault is the Exit.Source of a triple fault.
const sourceTripleFault = "triple fault"

// Exit is the end of a guest.
type Exit struct {
	Cause Cause
	// Source is who asked for it, in a few words: "ACPI S5", "keyboard
	// controller", "triple fault".
	Source string
	// Detail is what is known about an unexpected death, in one line or
	// several: registers, the bytes at RIP, what to do about it. Empty for an
	// orderly end.
	Detail string
	// Code is the value written to the debug-exit port.
	Code uint32
}

// Crashed reports whether the guest died rather than ended. A triple fault is a
// reset for the domain's on_reboot, but a guest that it ends has died.
func (e Exit) Crashed() bool {
	switch e.Cause {
	case CausePanic, CauseInternalError, CauseFailedEntry, CauseHost:
		return true
	case CauseReset:
		return e.Source == sourceTripleFault
	}
	return false
}

// String is the exit in one line, and its detail below it.
func (e Exit) String() string {
	var b strings.Builder
	b.WriteString(e.Cause.String())
	if e.Source != "" {
		fmt.Fprintf(&b, " (%s)", e.Source)
	}
	if e.Cause == CauseDebugExit {
		fmt.Fprintf(&b, " with code %#x", e.Code)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, ": %s", e.Detail)
	}
	return b.String()
}
