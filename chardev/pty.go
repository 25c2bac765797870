package chardev

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// How often a pty without a client is looked at: soon after one left, then
// less often.
const (
	firstClientPoll = 5 * time.Millisecond
	lastClientPoll  = 200 * time.Millisecond
)

const (
	// DefaultPatience is PtyOptions.Patience when that is 0. It is less than
	// the time after which a Linux guest, spinning on its console meanwhile,
	// takes a processor for locked up (10 s).
	DefaultPatience = 5 * time.Second

	// Endless is a PtyOptions.Patience without an end.
	Endless time.Duration = -1
)

const (
	// ptyFlushTime is how long Close waits for a client to read.
	ptyFlushTime = time.Second

	// drainPoll is how often Close looks whether it has.
	drainPoll = 5 * time.Millisecond

	// drainLooks is how often in a row there must be nothing left to read. The
	// kernel hands over some 4 KiB at a time, and between two of them a look finds
	// nothing until the client, which may have lost its processor, goes on.
	drainLooks = 4
)

// PtyOptions are the options of OpenPty.
type PtyOptions struct {
	Options

	// Link, when not empty, is the path of a symbolic link to the pty, for those
	// who want a name that stays. A link that an earlier machine left there is
	// replaced; anything else is an error.
	Link string

	// Patience is how long output waits, once the buffer is full, for a client
	// that has the terminal open and takes nothing at all. After that the client
	// counts as absent until it reads on. 0 is DefaultPatience, and Endless is
	// for guests that only a program of theirs is held up in.
	Patience time.Duration
}

// Pty is the back end that offers the guest on a pseudoterminal (type='pty'),
// for picocom, screen, virsh console and the like.
//
// The connection is up while a client has the terminal open. A full buffer then
// makes the guest wait, so that a slow client loses nothing. One that takes
// nothing for longer than PtyOptions.Patience, a terminal program that was
// suspended for instance, does not hold the guest up any more. From then on until
// it reads, and while there is no client at all, the last 64 KiB are kept, and
// older output is dropped and counted. The terminal is in raw mode when a client
// opens it.
//
// The kernel throws away what a client has not read when a pty is closed, so
// Close waits for that, a second at most. What it did not wait for counts as
// delivered in Stats.
type Pty struct {
	port
	master *os.File // non-blocking
	name   string
	link   string
}

// OpenPty allocates a pty. It fails when the host has no devpts or no pty left,
// or when the link cannot be made.
func OpenPty(opts PtyOptions) (*Pty, error) {
	master, name, err := openMaster()
	if err != nil {
		return nil, fmt.Errorf("%s: allocate a pty: %w", opts.Name, err)
	}
	if opts.Link != "" {
		if err := replaceLink(name, opts.Link); err != nil {
			_ = master.Close()
			return nil, fmt.Errorf("%s: link to the pty: %w", opts.Name, err)
		}
	}
	p := &Pty{master: master, name: name, link: opts.Link}
	p.init(opts.Options, false)
	p.input = ptySource{master}
	out := p.outputOptions("writing to "+name, ptySink{master}, dropUnread, false)
	p.losing(&out, opts.Patience, name)
	p.main = newOutput(out)
	p.flushTime = ptyFlushTime
	p.drain = p.awaitReader
	p.run = p.serve
	p.close = p.release
	return p, nil
}

// Name is the path of the terminal a client opens, for instance /dev/pts/3.
func (p *Pty) Name() string { return p.name }

// openMaster returns the master of a new pty whose slave is raw and has been
// closed once: only then does the master tell that nobody has it open.
func openMaster() (master *os.File, name string, err error) {
	m, slave, err := pty.Open()
	if err != nil {
		return nil, "", err
	}
	defer m.Close()
	defer slave.Close()
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		return nil, "", os.NewSyscallError("set raw mode", err)
	}
	// The master comes in blocking mode, in which a read could not be
	// interrupted. It is nobody else's, so its flags are ours to change.
	fd, err := unix.FcntlInt(m.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, "", os.NewSyscallError("dup", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, "", os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), m.Name()), slave.Name(), nil
}

// serve follows the clients as they come and go.
func (p *Pty) serve() {
	buf := make([]byte, 4096)
	for p.waitClient() {
		p.setCarrier(true)
		for {
			n, err := p.master.Read(buf)
			if n > 0 && !p.deliver(buf[:n]) {
				return
			}
			if err != nil {
				if !errors.Is(err, unix.EIO) && !p.stopped() {
					p.errs.report("reading "+p.name+" failed", err)
				}
				break
			}
		}
		p.setCarrier(false)
		// The next client shall find raw mode again, whatever this one did.
		// Line settings of the slave can be set through the master.
		if err := control(p.master, func(fd int) { _, _ = term.MakeRaw(fd) }); err != nil {
			return // closed
		}
	}
}

// waitClient returns true when a client has opened the terminal, or has written
// to it and left, and false when the back end is being closed. The kernel tells
// nobody that a pty was opened, so this has to look again and again.
func (p *Pty) waitClient() bool {
	interval := firstClientPoll
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.done:
			return false
		}
		switch ev, err := p.events(); {
		case errors.Is(err, os.ErrClosed):
			return false
		case err == nil && (ev&unix.POLLHUP == 0 || ev&unix.POLLIN != 0):
			return true
		}
		interval = min(2*interval, lastClientPoll)
		timer.Reset(interval)
	}
}

// events polls the master: POLLHUP is there while nobody has the terminal open.
func (p *Pty) events() (events int16, err error) {
	ctlErr := control(p.master, func(fd int) { events, err = pollNow(fd, unix.POLLIN) })
	return events, errors.Join(ctlErr, err)
}

// pollNow polls a descriptor without waiting.
func pollNow(fd int, want int16) (events int16, err error) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: want}}
	for {
		if _, err = unix.Poll(fds, 0); err != unix.EINTR {
			return fds[0].Revents, err
		}
	}
}

// awaitReader waits until the client has read everything, or has left.
func (p *Pty) awaitReader(deadline time.Time) {
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for empty := 0; ; {
		if ev, err := p.events(); err != nil || ev&unix.POLLHUP != 0 {
			return
		}
		switch unread, err := p.unread(); {
		case err != nil:
			p.errs.report("the last output may be lost", err)
			return
		case unread:
			empty = 0
		default:
			empty++
		}
		if empty == drainLooks {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			p.errs.report("the last output is lost", fmt.Errorf("the client of %s has not read it within %v", p.name, ptyFlushTime))
			return
		}
	}
}

// unread reports whether there is output that the client has yet to read. Only
// the other end of the pty can tell, which is opened for a moment: while it is
// open, the master cannot tell whether the client is still there.
func (p *Pty) unread() (unread bool, err error) {
	ctlErr := control(p.master, func(fd int) {
		const flags = unix.O_RDONLY | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC
		peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, flags)
		if errno != 0 {
			err = os.NewSyscallError("TIOCGPTPEER", errno)
			return
		}
		defer unix.Close(int(peer))
		// The poll has the kernel move what is on its way to where it is counted,
		// but sees no less than a whole line, or as many bytes as the client's
		// settings make a read wait for.
		var ev int16
		n := 0
		if ev, err = pollNow(int(peer), unix.POLLIN); err == nil {
			n, err = unix.IoctlGetInt(int(peer), unix.TIOCINQ)
		}
		unread = n > 0 || ev&unix.POLLIN != 0
	})
	return unread, errors.Join(ctlErr, err)
}

// release closes the pty and removes the link, if that is still ours.
func (p *Pty) release() error {
	err := p.master.Close()
	if p.link == "" {
		return err
	}
	if to, readErr := os.Readlink(p.link); readErr == nil && to == p.name {
		err = errors.Join(err, os.Remove(p.link))
	}
	return err
}

// ptySource and ptySink are the two directions of a master.
type (
	ptySource struct{ *os.File }
	ptySink   struct{ *os.File }
)

func (m ptySource) interrupt() bool { return m.SetReadDeadline(past()) == nil }

func (m ptySink) interrupt() bool { return m.SetWriteDeadline(past()) == nil }

// Write writes as much as there is room for, once there is any: what a slow
// client has taken is progress before the rest of p is.
func (m ptySink) Write(p []byte) (n int, err error) {
	conn, err := m.SyscallConn()
	if err != nil {
		return 0, err
	}
	waitErr := conn.Write(func(fd uintptr) (done bool) {
		for {
			switch n, err = unix.Write(int(fd), p); err {
			case unix.EINTR:
			case unix.EAGAIN:
				// A client that leaves wakes us a moment before a write fails, and
				// then never again, but the poll knows already.
				if ev, _ := pollNow(int(fd), unix.POLLOUT); ev&unix.POLLHUP == 0 {
					return false
				}
				err = unix.EIO
				return true
			default:
				return true
			}
		}
	})
	if waitErr != nil {
		return 0, waitErr
	}
	if errors.Is(err, unix.EIO) {
		err = errNoLink
	}
	return max(n, 0), err
}

// replaceLink makes path a symbolic link to a pty, in one step.
func replaceLink(name, path string) error {
	switch to, err := os.Readlink(path); {
	case err == nil && strings.HasPrefix(to, "/dev/pts/"):
	case errors.Is(err, os.ErrNotExist):
	case err == nil:
		return fmt.Errorf("%s exists and links to %s", path, to)
	default:
		return fmt.Errorf("%s exists and is not a link to a pty: remove it or choose another path", path)
	}
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Symlink(name, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}
