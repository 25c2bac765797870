package integration

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"github.com/govmm/govmm/vmm"
	"golang.org/x/sys/unix"
)

// TestPorts logs in at a guest's virtio console, and sends much both ways
// through a channel at the same time.
func TestPorts(t *testing.T) {
	const (
		channel = "org.example.test"
		length  = 100 * mib
		seed    = 9
	)
	in, toGuest := io.Pipe()
	fromGuest, out := io.Pipe()
	m := buildMachine(t, domain{
		vcpus: 2, initrd: cloudVirtio, cmdline: obeying,
		devices: `<serial type='pty'/>
<console type='pty'><target type='serial' port='0'/></console>
<console type='pty'><target type='virtio' port='0'/></console>
<channel type='stdio'><target type='virtio' name='` + channel + `'/></channel>`,
	}, vmm.Options{Stdin: in, Stdout: out})
	m.guest = m.terminal(t, "serial0")
	console := m.terminal(t, "console1")
	must(t, m.Start())
	m.ready()

	m.tell("login /dev/hvc0")
	console.expect(`guest login: `)
	console.send("root\n")
	console.expect(`root\r\nPassword: `) // the terminal shows what is typed
	console.send("secret\n")
	console.expect(`\r\nWelcome root\r\n# `)
	for _, line := range []string{"first line", "second"} {
		console.send(line + "\n")
		console.expect(fmt.Sprintf(`^%s\r\n(?i:%s)\r\n# $`, line, line))
	}
	console.send("exit\n")
	if _, result, ok := m.answer(); !ok || result != "root secret" {
		t.Errorf("the guest's end of the login: %s", result)
	}

	began := time.Now()
	m.tell("port %s %d %d", channel, length, seed)
	must(t, traffic.Exchange(struct {
		io.Reader
		io.Writer
	}{fromGuest, toGuest}, length, seed+1, seed))
	if _, result, ok := m.answer(); !ok {
		t.Errorf("the guest's end of the channel: %s", result)
	}
	t.Logf("%d MiB each way in %v", length/mib, time.Since(began).Round(time.Millisecond))
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
}

// terminal opens the pty of a character device.
func (m *machine) terminal(t *testing.T, alias string) *guest {
	t.Helper()
	for _, c := range m.Chardevs() {
		if c.Alias == alias {
			pty, err := os.OpenFile(c.Path, os.O_RDWR|unix.O_NOCTTY, 0)
			must(t, err)
			t.Cleanup(func() { pty.Close() })
			return atTerminal(t, pty)
		}
	}
	t.Fatalf("no character device %s among %v", alias, m.Chardevs())
	return nil
}
