package qmp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/virtio/balloon"
	"github.com/govmm/govmm/vmm"
)

// fake is a machine without KVM. It notes what is asked of it.
type fake struct {
	mu     sync.Mutex
	state  vmm.State
	memory uint64
	asked  []string
	busy   int   // SendKeys fails so many times
	fails  error // what everything else answers
	subs   []chan vmm.Event
	locked bool
	// dumping, if it is not nil, keeps Dump from its end.
	dumping chan struct{}
}

func (f *fake) do(what string, after vmm.State, e vmm.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	if f.fails != nil {
		return f.fails
	}
	f.state = after
	f.publish(e)
	return nil
}

func (f *fake) publish(e vmm.Event) {
	e.Time = time.Unix(12, 34567)
	for _, ch := range f.subs {
		ch <- e
	}
}

// happen lets an event happen.
func (f *fake) happen(e vmm.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.publish(e)
}

func (f *fake) State() vmm.State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *fake) Pause(context.Context) error {
	return f.do("pause", vmm.StatePaused, vmm.Event{Kind: vmm.EventPaused})
}

func (f *fake) Resume(context.Context) error {
	return f.do("resume", vmm.StateRunning, vmm.Event{Kind: vmm.EventResumed})
}

func (f *fake) Reset(context.Context) error {
	return f.do("reset", vmm.StateRunning, vmm.Event{Kind: vmm.EventReset})
}

func (f *fake) PressPowerButton(context.Context) error {
	return f.do("power button", vmm.StateRunning, vmm.Event{Kind: vmm.EventShutdown})
}

func (f *fake) Destroy(reason string) {
	_ = f.do("destroy "+reason, vmm.StateShutOff,
		vmm.Event{Kind: vmm.EventEnded, Exit: vmm.Exit{Cause: vmm.CauseStopped, Source: reason}})
}

func (f *fake) Memory() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.memory
}

func (f *fake) SetMemory(bytes uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails == nil {
		f.memory = bytes
	}
	return f.fails
}

func (f *fake) MemoryStats(context.Context) (vmm.MemoryStats, error) {
	return vmm.MemoryStats{balloon.SwappedIn: 4096, balloon.HugePageFailures: 1}, f.fails
}

// picture is 2 x 1 points: red and blue.
func picture() image.Image {
	m := image.NewPaletted(image.Rect(0, 0, 2, 1), color.Palette{color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}})
	m.SetColorIndex(1, 0, 1)
	return m
}

func (f *fake) Screenshot(w io.Writer) error {
	if f.fails != nil {
		return f.fails
	}
	return png.Encode(w, picture())
}

func (f *fake) ScreenText() (string, error) { return "C:\\>\n", f.fails }

func (f *fake) SendKeys(combination string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy > 0 {
		f.busy--
		return errors.New("the buffer is full")
	}
	f.asked = append(f.asked, "keys "+combination)
	return nil
}

func (f *fake) ChangeMedia(_ context.Context, target, path string, force bool) error {
	return f.do(fmt.Sprintf("change %s %q %v", target, path, force), vmm.StateRunning,
		vmm.Event{Kind: vmm.EventTray, Device: target, Open: path == ""})
}

func (f *fake) OpenTray(_ context.Context, target string, force bool) error {
	if f.locked && !force {
		return fmt.Errorf("drive %s: %w", target, vmm.ErrTrayLocked)
	}
	return f.do(fmt.Sprintf("open %s %v", target, force), vmm.StateRunning, vmm.Event{Kind: vmm.EventTray, Device: target, Open: true})
}

func (f *fake) CloseTray(_ context.Context, target string) error {
	return f.do("close "+target, vmm.StateRunning, vmm.Event{Kind: vmm.EventTray, Device: target})
}

func (f *fake) RemoveMedium(_ context.Context, target string) error {
	return f.note("remove " + target)
}

func (f *fake) InsertMedium(_ context.Context, target, path string) error {
	return f.note("insert " + target + " " + path)
}

func (f *fake) Name() string { return "vm one" }

func (f *fake) Reboot(context.Context) error {
	return f.do("reboot", vmm.StateRunning, vmm.Event{Kind: vmm.EventShutdown})
}

func (f *fake) InjectNMI(context.Context) error { return f.note("nmi") }

func (f *fake) SetWatchdogAction(action domcfg.WatchdogAction) error {
	if !action.Known() {
		return errors.New("no such action")
	}
	return f.note("watchdog " + string(action))
}

func (f *fake) SetLink(_ context.Context, name string, up bool) error {
	if name != "net0" {
		return fmt.Errorf("%s: %w", name, vmm.ErrNoDevice)
	}
	return f.note(fmt.Sprintf("link %s %v", name, up))
}

func (f *fake) Dump(ctx context.Context, path string, o vmm.DumpOptions) error {
	err := f.note(fmt.Sprintf("dump %s %v", path, o.Compress))
	if err == nil {
		if o.Progress != nil {
			o.Progress(1<<20, 2<<20)
		}
		if f.dumping != nil {
			<-f.dumping
		}
	}
	status := vmm.DumpStatus{State: vmm.DumpCompleted, Path: path, Done: 2 << 20, Total: 2 << 20}
	f.happen(vmm.Event{Kind: vmm.EventDumped, Dump: status, Err: err})
	return err
}

func (f *fake) CancelDump(context.Context) error { return f.note("cancel dump") }

func (f *fake) NetStats() []vmm.NetStats {
	s := vmm.NetStats{Alias: "net0"}
	s.RxBytes, s.TxPackets, s.TxDrop = 1514, 3, 1
	return []vmm.NetStats{s}
}

func (f *fake) DumpStatus() vmm.DumpStatus {
	return vmm.DumpStatus{State: vmm.DumpActive, Done: 1 << 20, Total: 2 << 20}
}

func (f *fake) DiskStats() []vmm.DiskStats {
	s := vmm.DiskStats{Target: "vda", Size: 1 << 20}
	s.Read.Bytes, s.Read.Requests, s.Write.Errors = 4096, 2, 1
	return []vmm.DiskStats{s}
}

func (f *fake) LiveXML(id uint, media map[string]string) (string, error) {
	return fmt.Sprintf("<domain id='%d' hdc='%s'/>", id, media["hdc"]), f.fails
}

// note notes what is asked.
func (f *fake) note(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	return f.fails
}

func (f *fake) ConsoleText(device string) (string, error) {
	if device != "serial1" {
		return "", vmm.ErrNoDevice
	}
	return "login:", nil
}

func (f *fake) ResizeConsole(_ context.Context, device string, columns, rows uint16) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprintf("resize %s %dx%d", device, columns, rows))
	return nil
}

func (f *fake) Chardevs() []vmm.Chardev {
	return []vmm.Chardev{{Alias: "serial0", Type: "pty", Path: "/dev/pts/7"}, {Alias: "serial1", Type: "null"}}
}

func (f *fake) Subscribe(buffer int) (<-chan vmm.Event, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ch := make(chan vmm.Event, buffer)
	f.subs = append(f.subs, ch)
	return ch, sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.subs = nil
		close(ch)
	})
}

func (f *fake) VCPUThreads() []int { return []int{101, 102} }

func (f *fake) TrayLocked(string) bool { return f.locked }

// what was asked since the last call.
func (f *fake) taken() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.asked = nil }()
	return strings.Join(f.asked, "; ")
}

const domainXML = `<domain type='kvm'>
  <name>vm one</name>
  <uuid>c7a5fdbd-cdaf-9455-926a-d65c16db1809</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>2</vcpu>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file'><driver name='qemu' error_policy='stop'/><source file='/images/vda.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/images/one.iso'/><target dev='hdc' bus='ide'/><readonly/></disk>
    <disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>
  </devices>
</domain>`

func testDomain(t testing.TB) *domcfg.Domain {
	t.Helper()
	d, _, err := domcfg.Parse("vm.xml", strings.NewReader(domainXML))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetDefaults(bytes.NewReader(make([]byte, 1024))); err != nil {
		t.Fatal(err)
	}
	return d
}

// rig is a server with a fake machine that runs.
type rig struct {
	t       testing.TB
	machine *fake
	server  *Server
}

func newRig(t testing.TB) *rig {
	t.Helper()
	f := &fake{state: vmm.StateRunning, memory: 64 << 20}
	r := &rig{t, f, NewServer(Options{Machine: f, Domain: testDomain(t), Version: "v1.2.3-4-gabc"})}
	return r
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.server.Close(); err != nil {
		r.t.Error(err)
	}
}

// session is a client that sends and reads text.
type session struct {
	t    testing.TB
	conn net.Conn
	from *bufio.Reader
}

// connect makes a client, and returns the greeting.
func (r *rig) connect() (*session, string) {
	r.t.Helper()
	ours, theirs := net.Pipe()
	r.server.ServeConn(theirs)
	s := &session{r.t, ours, bufio.NewReader(ours)}
	return s, s.read()
}

// open makes a client that has negotiated.
func (r *rig) open() *session {
	r.t.Helper()
	s, _ := r.connect()
	if got := s.ask(`{"execute":"qmp_capabilities"}`); got != `{"return":{}}` {
		r.t.Fatalf("negotiation: %s", got)
	}
	return s
}

func (s *session) send(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, text); err != nil {
		s.t.Fatalf("send: %v", err)
	}
}

// read returns the next message.
func (s *session) read() string {
	s.t.Helper()
	line, err := s.from.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") || !json.Valid([]byte(line)) {
		s.t.Fatalf("read %q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (s *session) ask(text string) string {
	s.t.Helper()
	s.send(text)
	return s.read()
}

// ended fails the test if the server has not closed the connection.
func (s *session) ended() {
	s.t.Helper()
	if rest, err := io.ReadAll(s.from); len(rest) > 0 || err != nil {
		s.t.Errorf("after the end: %q, %v", rest, err)
	}
}
