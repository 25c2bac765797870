package bootmedia

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/govmm/govmm/tests/bootmedia/netboot"
)

// iPXE, the network card's option ROM, gets an address and what it boots from
// a server on the machine's tap.
func TestBootNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes taps")
	}
	address, client := netip.MustParsePrefix("198.18.77.1/24"), netip.MustParseAddr("198.18.77.9")
	for _, name := range []string{"pxe-nbp", "ipxe-linux"} {
		t.Run(name, func(t *testing.T) {
			m, path := built(t, name)
			tap := fmt.Sprintf("boot%d", os.Getpid()%1_000_000)
			remove, err := netboot.NewTap(tap, address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := remove(); err != nil {
					t.Error(err)
				}
			}()
			server, err := netboot.Listen(netboot.Options{Interface: tap, Address: address, Client: client, Root: path, BootFile: m.BootFile,
				Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close() // again, if the test fails
			boot(t, m.QEMU(path, tap, false), m.Markers...)
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			if server.Leases() == 0 || !slices.ContainsFunc(server.Sent(), func(f string) bool { return f == m.BootFile || f == "/"+m.BootFile }) {
				t.Errorf("%d leases, sent %v", server.Leases(), server.Sent())
			}
			t.Logf("sent %v", server.Sent())
		})
	}
}
