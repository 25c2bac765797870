package user

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/govmm/govmm/net/internal/nettest"
)

// far is an address that is not the host's as the guest sees it.
const far = "198.51.100.1"

// TestMain runs the tests in a network namespace of their own, which has the
// address far, and lets everybody have ping sockets.
func TestMain(m *testing.M) {
	flag.Parse()
	exit, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "user:", err)
		exit = max(exit, 1)
	}
	os.Exit(exit)
}

func runAll(m *testing.M) (int, error) {
	if !nettest.Inside() {
		return nettest.Reexec()
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return 1, err
	}
	address, err := netlink.ParseAddr(far + "/32")
	if err != nil {
		return 1, err
	}
	if err := errors.Join(
		netlink.LinkSetUp(lo),
		netlink.AddrReplace(lo, address),
		os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0),
	); err != nil {
		return 1, err
	}
	return m.Run(), nil
}
