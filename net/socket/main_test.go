package socket

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/govmm/govmm/net/internal/nettest"
)

// TestMain runs the tests in a network namespace of their own, which has a
// route for multicast.
func TestMain(m *testing.M) {
	flag.Parse()
	exit, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "socket:", err)
		exit = max(exit, 1)
	}
	os.Exit(exit)
}

func runAll(m *testing.M) (int, error) {
	if !nettest.Inside() {
		return nettest.Reexec()
	}
	if err := nettest.Quiet(); err != nil {
		return 1, err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return 1, err
	}
	_, groups, err := net.ParseCIDR("224.0.0.0/4")
	if err != nil {
		return 1, err
	}
	if err := errors.Join(
		netlink.LinkSetMulticastOn(lo),
		netlink.LinkSetUp(lo),
		netlink.RouteReplace(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: groups}),
	); err != nil {
		return 1, fmt.Errorf("route multicast: %w", err)
	}
	return m.Run(), nil
}
