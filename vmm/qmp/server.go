package qmp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

// Machine is what is controlled: a *vmm.Machine, whose methods these are.
type Machine interface {
	State() vmm.State
	Pause(ctx context.Context) error
	Resume(ctx context.Context) error
	Reset(ctx context.Context) error
	PressPowerButton(ctx context.Context) error
	Destroy(reason string)

	Memory() uint64
	SetMemory(bytes uint64) error
	MemoryStats(ctx context.Context) (vmm.MemoryStats, error)

	Screenshot(w io.Writer) error
	ScreenText() (string, error)
	ConsoleText(device string) (string, error)
	ResizeConsole(ctx context.Context, device string, columns, rows uint16) error
	SendKeys(combination string) error

	Name() string
	Reboot(ctx context.Context) error
	InjectNMI(ctx context.Context) error
	SetWatchdogAction(action domcfg.WatchdogAction) error
	SetLink(ctx context.Context, interfaceName string, up bool) error
	Dump(ctx context.Context, path string, o vmm.DumpOptions) error
	CancelDump(ctx context.Context) error
	DumpStatus() vmm.DumpStatus
	DiskStats() []vmm.DiskStats
	NetStats() []vmm.NetStats
	LiveXML(id uint, media map[string]string) (string, error)

	ChangeMedia(ctx context.Context, target, path string, force bool) error
	OpenTray(ctx context.Context, target string, force bool) error
	CloseTray(ctx context.Context, target string) error
	RemoveMedium(ctx context.Context, target string) error
	InsertMedium(ctx context.Context, target, path string) error
	Chardevs() []vmm.Chardev
	Subscribe(buffer int) (events <-chan vmm.Event, cancel func())
}

// Options describe the machine. All fields but Log are needed.
type Options struct {
	Machine Machine
	// Domain is what the machine was made of, with the defaults that vmm.New
	// fills in.
	Domain *domcfg.Domain
	// Version is the program's version, as in "v1.2.3-4-gabcdef".
	Version string
	// Log takes which clients come and what they do; nil discards it.
	Log *slog.Logger
}

const (
	maxClients = 32
	// flushTime is what clients have to take their last messages.
	flushTime = time.Second
	// acceptRetry is how long new clients wait when the host lacks descriptors or
	// memory for them.
	acceptRetry = 100 * time.Millisecond
	// eventBuffer is how many events of the machine may wait. They wait for
	// nothing but this package's own work.
	eventBuffer = 256
)

// Server controls one machine for its clients.
type Server struct {
	machine  Machine
	domain   *domcfg.Domain
	version  versionInfo
	log      *slog.Logger
	commands map[string]command

	context context.Context // of commands; canceled by Close
	cancel  context.CancelFunc
	stop    func()         // ends the subscription to events
	events  sync.WaitGroup // the goroutine that reports them
	serving sync.WaitGroup // listeners and clients
	dumps   sync.WaitGroup // that nobody waits for

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	clients   map[*client]struct{}
	run       runState
	drives    []*drive
	nodes     map[string]node // of blockdev-add, by their names
}

// NewServer makes a server, which follows the machine's events from now on. Close
// must be called.
func NewServer(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		machine:   o.Machine,
		domain:    o.Domain,
		version:   parseVersion(o.Version),
		log:       o.Log,
		commands:  make(map[string]command),
		listeners: make(map[net.Listener]struct{}),
		clients:   make(map[*client]struct{}),
		drives:    drivesOf(o.Domain),
		nodes:     make(map[string]node),
	}
	for _, c := range commands() {
		s.commands[c.name] = c
	}
	s.context, s.cancel = context.WithCancel(context.Background())
	events, stop := o.Machine.Subscribe(eventBuffer)
	s.stop = stop
	s.run.started = o.Machine.State() != vmm.StateShutOff
	s.events.Go(func() { s.report(events) })
	return s
}

// Serve accepts clients until Close, and closes the listener. Its error is nil
// after Close.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return l.Close()
	}
	s.listeners[l] = struct{}{}
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	defer l.Close()
	for {
		conn, err := l.Accept()
		if err == nil {
			s.ServeConn(conn)
			continue
		}
		if passes(err) && s.context.Err() == nil {
			s.log.Warn("clients have to wait", "error", err)
			select {
			case <-time.After(acceptRetry):
			case <-s.context.Done():
			}
			continue
		}
		s.mu.Lock()
		delete(s.listeners, l)
		closed := s.closed
		s.mu.Unlock()
		if closed && errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	}
}

// passes reports whether accepting fails for want of something that others may
// give back, or because of one client alone.
func passes(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ServeConn serves one more client, until it or the server is closed. It returns
// at once.
func (s *Server) ServeConn(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.clients) == maxClients {
		s.log.Warn("a client is refused", "clients", len(s.clients))
		_ = conn.Close() // its read fails, which tells enough
		return
	}
	c := &client{server: s, conn: conn, out: newOutbox()}
	s.clients[c] = struct{}{}
	s.serving.Go(func() {
		c.serve()
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
	})
}

// Close reports what has happened so far, the machine's end included, and ends
// all connections. A command that is being carried out is finished first. The
// machine stays as it is. Closing again does nothing.
func (s *Server) Close() error {
	s.stop()
	s.events.Wait()
	s.cancel()
	s.mu.Lock()
	var errs []error
	if !s.closed {
		s.closed = true
		for l := range s.listeners {
			errs = append(errs, l.Close())
		}
		for c := range s.clients {
			c.end()
		}
	}
	s.mu.Unlock()
	s.serving.Wait()
	s.dumps.Wait()
	return errors.Join(errs...)
}
