package vmm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// What a guest is told of a console's size and a disk's after each boot, and
// what is refused.
func TestRuntimeChanges(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk")
	grow := func(size int64) {
		if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, size)); err != nil {
			t.Fatal(err)
		}
	}
	grow(1 << 20)
	m, out := newMachine(t, tiny.Options{
		Cmdline: "test=virtio-console,virtio-blk exit=hang",
		Devices: `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='` + image + `'/><target dev='vda' bus='virtio'/></disk>
<controller type='virtio-serial' index='0'/><console type='null'><target type='virtio' port='0'/></console>
<channel type='null'><target type='virtio' name='org.test.0'/></channel>`,
	})
	ctx := deadline(t)
	var consoles []string
	for _, c := range m.Chardevs() {
		if c.Resizable {
			consoles = append(consoles, c.Alias)
		}
	}
	if len(consoles) != 1 {
		t.Fatalf("resizable: %v among %v", consoles, m.Chardevs())
	}
	console := consoles[0]

	for name, err := range map[string]error{
		"serial": m.ResizeConsole(ctx, "serial0", 80, 25), "channel": m.ResizeConsole(ctx, "channel0", 80, 25),
		"unknown console": m.ResizeConsole(ctx, "console7", 80, 25), "interface": m.SetLink(ctx, "net0", false),
		"disk": refresh(m, ctx, "vdb", 0), "statistics": stats(m, "serial9"),
	} {
		if !errors.Is(err, vmm.ErrNoDevice) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := refresh(m, ctx, "vdb", 0); !strings.Contains(err.Error(), "the machine has vda") {
		t.Errorf("%v does not name the disks", err)
	}
	if err := m.ResizeConsole(ctx, console, 0, 25); err == nil {
		t.Error("a console without columns is accepted")
	}

	// Before the start, while it runs, and while it is paused.
	if err := m.ResizeConsole(ctx, console, 132, 43); err != nil {
		t.Error(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "config 132x43,", 1)
	out.wait(t, "\ndone ", 1)
	grow(3 << 20)
	if err := errors.Join(m.ResizeConsole(ctx, console, 100, 30), refresh(m, ctx, "vda", 3<<20)); err != nil {
		t.Error(err)
	}
	if err := m.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "config 100x30,", 1)
	out.wait(t, "capacity 6144", 1)
	if err := m.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.ResizeConsole(ctx, console, 65535, 1); err != nil {
		t.Error(err)
	}
	if s, err := m.ChardevStats("serial0"); err != nil || s.Out == 0 || s.Dropped != 0 {
		t.Errorf("statistics %+v, %v", s, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	m.Destroy("enough")
	for name, err := range map[string]error{
		"resize": m.ResizeConsole(ctx, console, 80, 25), "link": m.SetLink(ctx, "net0", false), "refresh": refresh(m, ctx, "vda", 0),
	} {
		if !errors.Is(err, vmm.ErrNotRunning) {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	if err := m.ResizeConsole(cancelled, console, 80, 25); err == nil {
		t.Error("resize with a cancelled context")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if s, err := m.ChardevStats("serial0"); err != nil || s.Out == 0 {
		t.Errorf("statistics after Close %+v, %v", s, err)
	}
}

func refresh(m *vmm.Machine, ctx context.Context, target string, want int64) error {
	size, err := m.RefreshDisk(ctx, target)
	if err == nil && size != want {
		return fmt.Errorf("%s has %d bytes, want %d", target, size, want)
	}
	return err
}

func stats(m *vmm.Machine, alias string) error {
	_, err := m.ChardevStats(alias)
	return err
}

// A cable that is out is out for the guest, by whichever name it was pulled.
func TestSetLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes taps")
	}
	tap := fmt.Sprintf("rt%d", os.Getpid()%1_000_000)
	nic := func(mac, target string) string {
		return `<interface type='ethernet'><mac address='` + mac + `'/><script path=''/><target dev='` + target + `'/>
<model type='virtio'/><driver name='qemu'/></interface>`
	}
	m, out := newMachine(t, tiny.Options{
		Cmdline: "test=virtio-net exit=hang",
		Devices: nic("52:54:00:00:00:01", tap+"a") + nic("52:54:00:00:00:02", tap+"b") + nic("52:54:00:00:00:02", tap+"c"),
	})
	ctx := deadline(t)
	const down, up = "link 0000", "link 0001"
	if err := m.SetLink(ctx, "net0", false); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, down, 1)
	n := 0
	for _, name := range []string{tap + "a", "52:54:00:00:00:01"} {
		if err := m.SetLink(ctx, name, true); err != nil {
			t.Error(err)
		}
		if err := m.Reset(ctx); err != nil {
			t.Fatal(err)
		}
		n++
		out.wait(t, up, n)
		if err := m.SetLink(ctx, name, false); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"52:54:00:00:00:03", "net3", tap} {
		if err := m.SetLink(ctx, name, true); !errors.Is(err, vmm.ErrNoDevice) || !strings.Contains(err.Error(), tap+"b") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.SetLink(ctx, "52:54:00:00:00:02", false); err == nil || !strings.Contains(err.Error(), "net1") {
		t.Errorf("two of one address: %v", err)
	}
	if err := m.SetLink(ctx, "net2", false); err != nil {
		t.Error(err)
	}
}

// countKernel writes a kernel that sends 00h to FFh over and over, each when the
// transmitter is empty: the shortest of package guest with another body at its
// 64-bit entry.
func countKernel(t *testing.T) string {
	t.Helper()
	all, err := guest.Build(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(all.First.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	const setupSects, entry64 = 0x1F1, 0x200 // Linux/x86 boot protocol
	copy(image[(int(image[setupSects])+1)*512+entry64:], []byte{
		0x31, 0xDB, //             xor ebx, ebx
		0x66, 0xBA, 0xFD, 0x03, // next: mov dx, 0x3fd
		0xEC,       //             in al, dx
		0xA8, 0x20, //             test al, 0x20
		0x74, 0xF7, //             jz next
		0x66, 0xBA, 0xF8, 0x03, // mov dx, 0x3f8
		0x88, 0xD8, //             mov al, bl
		0xEE,       //             out dx, al
		0xFF, 0xC3, //             inc ebx
		0xEB, 0xEC, //             jmp next
	})
	path := filepath.Join(t.TempDir(), "count")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A serial port on a pty drops and counts what nobody reads. A client slows the
// guest down and misses nothing, until it leaves.
func TestSerialBackPressure(t *testing.T) {
	d, err := tiny.Options{}.Domain(guest.Image{BzImage: countKernel(t)})
	if err != nil {
		t.Fatal(err)
	}
	d.Devices.Serials[0].Type = "pty"
	m, err := vmm.New(deadline(t), d, vmm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	dropped := func() uint64 {
		s, err := m.ChardevStats("serial0")
		if err != nil {
			t.Fatal(err)
		}
		return s.Dropped
	}
	await.That(t, "output dropped while nobody reads", func() bool { return dropped() > 0 })
	console, _ := m.Console()
	client, err := os.OpenFile(console.Path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []byte
	before := uint64(0)
	for buf := make([]byte, 8<<10); len(got) < 160<<10; {
		n, err := client.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, buf[:n]...); before == 0 {
			before = dropped() // the client has been seen
		}
	}
	if now := dropped(); now != before {
		t.Errorf("%d bytes dropped of a client that reads", now-before)
	}
	for i, b := range got[1:] {
		if b != got[i]+1 {
			t.Fatalf("%#x follows %#x after %d bytes", b, got[i], i+1)
		}
	}
	client.Close()
	await.That(t, "the guest to go on without a client", func() bool { return dropped() > before })
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
