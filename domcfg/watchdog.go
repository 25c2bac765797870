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

// The values of WatchdogAction that the document has; inject-nmi is newer.
const (
	WatchdogReset    WatchdogAction = "reset"
	WatchdogShutdown WatchdogAction = "shutdown" // by the power button
	WatchdogPoweroff WatchdogAction = "poweroff"
	WatchdogPause    WatchdogAction = "pause"
	WatchdogNone     WatchdogAction = "none"
	WatchdogDump     WatchdogAction = "dump"
)

// WatchdogActions are the document's values in its order.
func WatchdogActions() []WatchdogAction {
	return []WatchdogAction{WatchdogReset, WatchdogShutdown, WatchdogPoweroff, WatchdogPause, WatchdogNone, WatchdogDump}
}

// Known reports whether the document has the value.
func (a WatchdogAction) Known() bool { return slices.Contains(WatchdogActions(), a) }
