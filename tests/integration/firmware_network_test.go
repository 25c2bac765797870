package integration

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/govmm/govmm/tests/bootmedia"
	"github.com/govmm/govmm/tests/bootmedia/netboot"
)

// TestFirmwareNetwork boots by DHCP and TFTP from a server on the host's end of a
// tap: a small program, and a kernel by a script of iPXE.
func TestFirmwareNetwork(t *testing.T) {
	const tap = "govmmboot0"
	address, client := netip.MustParsePrefix("198.18.78.1/24"), netip.MustParseAddr("198.18.78.9")
	for _, name := range []string{"pxe-nbp", "ipxe-linux"} {
		t.Run(name, func(t *testing.T) {
			m, path := bootMedium(t, name)
			remove, err := netboot.NewTap(tap, address)
			must(t, err)
			defer func() { must(t, remove()) }()
			log := newTranscript()
			server, err := netboot.Listen(netboot.Options{
				Interface: tap, Address: address, Client: client, Root: path, BootFile: m.BootFile,
				Log: slog.New(slog.NewTextHandler(log, nil)),
			})
			must(t, err)
			defer func() {
				must(t, server.Close())
				if t.Failed() {
					t.Logf("the server's log:\n%s", log.tail())
				}
			}()
			c := runMedium(t, m, "", tap)
			if m.Rest == bootmedia.PowersOff {
				c.exit(0)
			} else {
				c.signal(syscall.SIGQUIT)
				c.exit(128 + int(syscall.SIGQUIT))
			}
			booted := func(file string) bool { return strings.TrimPrefix(file, "/") == m.BootFile }
			if server.Leases() == 0 || !slices.ContainsFunc(server.Sent(), booted) {
				t.Errorf("the server gave %d leases and sent %q", server.Leases(), server.Sent())
			}
		})
	}
}
