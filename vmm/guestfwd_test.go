package vmm_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// A channel in the user network is there with its machine, and gone with it. What
// the guest does with it is for tests of stock kernels.
func TestGuestForward(t *testing.T) {
	kernel(t) // whose compiler's goroutines are not to count
	await.NoGoroutines(t)
	socket := filepath.Join(t.TempDir(), "socket")
	channel := "<channel type='unix'><source mode='bind' path='" + socket + "'/><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>"
	m, _ := newMachine(t, tiny.Options{Cmdline: "exit=hang", Devices: `<interface type='user'><model type='virtio'/></interface>` + channel})
	if list := m.Chardevs(); len(list) != 2 || list[1].Alias != "channel0" || list[1].Path != socket {
		t.Errorf("the character devices are %v", list)
	}
	client, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}

	// Without the network there is nothing that it could be in.
	d, err := tiny.Options{Devices: channel}.Domain(kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	var unsupported *vmm.UnsupportedError
	if _, err := vmm.New(deadline(t), d, vmm.Options{}); !errors.As(err, &unsupported) || !strings.Contains(err.Error(), `there is no <interface type="user">`) {
		t.Errorf("a channel without a user network: %v", err)
	}
}
