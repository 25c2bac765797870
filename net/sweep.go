package net

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/net/internal/claim"
)

// Sweep removes the macvtaps that killed processes have left in the network namespace of the
// calling thread. Taps need none of this: they are gone with their process.
func Sweep(log *slog.Logger) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("net: netlink socket: %w", err)
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return fmt.Errorf("net: list interfaces: %w", err)
	}
	var errs []error
	for _, l := range links {
		attrs := l.Attrs()
		if l.Type() != "macvtap" || !claim.Abandoned(attrs.Alias) && !claim.Abandoned(attrs.Name) {
			continue
		}
		err := handle.LinkDel(l)
		switch {
		case err == nil:
			log.Warn("removed a network interface that a killed process has left", "interface", attrs.Name)
		case !isNotFound(err): // another process was faster
			errs = append(errs, fmt.Errorf("net: remove the abandoned %s: %w", attrs.Name, err))
		}
	}
	return errors.Join(errs...)
}
