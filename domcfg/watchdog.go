package domcfg

import "slices"

// WatchdogModel is a kind of watchdog timer.
type WatchdogModel string

// The values of WatchdogModel that the document has; diag288 and itco are newer.
const (
	WatchdogI6300ESB WatchdogModel = "i6300esb" // on PCI
	WatchdogIB700    WatchdogModel = "ib700"    // two ports
)

// WatchdogAction is what follows when a guest does not answer its watchdog.
type WatchdogAction string

// The values of WatchdogAction.
const (
	WatchdogReset     WatchdogAction = "reset"
	WatchdogShutdown  WatchdogAction = "shutdown" // by the power button
	WatchdogPoweroff  WatchdogAction = "poweroff"
	WatchdogPause     WatchdogAction = "pause"
	WatchdogNone      WatchdogAction = "none"
	WatchdogDump      WatchdogAction = "dump"
	WatchdogInjectNMI WatchdogAction = "inject-nmi" // newer than the document
)

// WatchdogActions are the values in the document's order.
func WatchdogActions() []WatchdogAction {
	return []WatchdogAction{WatchdogReset, WatchdogShutdown, WatchdogPoweroff, WatchdogPause, WatchdogNone, WatchdogDump, WatchdogInjectNMI}
}

// Known reports whether it is one of the values.
func (a WatchdogAction) Known() bool { return slices.Contains(WatchdogActions(), a) }
