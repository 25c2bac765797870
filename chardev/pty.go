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

// PtyOptions are the options of OpenPty.
type PtyOptions struct {
	Options

	// Link, when not empty, is the path of a symbolic link to the pty, for those
	// who want a name that stays. A link that an earlier machine left there is
	// replaced; anything else is an error.
	Link string
}

// Pty is the back end that offers the guest on a pseudoterminal (type='pty'),
// for picocom, screen, virsh console and the like.
//
// The connection is up while a client has the terminal open. While nobody has,
// the last 64 KiB of output are kept for the next client, older ones are
// dropped and counted; a client that does not read is treated alike, so the
// guest never waits. The terminal is in raw mode when a client opens it.
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
	p.src = ptySource{master}
	p.main = p.newOutput("writing to "+name, ptySink{master}, dropOldest, false)
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
		fds := []unix.PollFd{{Events: unix.POLLIN}}
		var pollErr error
		err := control(p.master, func(fd int) {
			fds[0].Fd = int32(fd)
			_, pollErr = unix.Poll(fds, 0)
		})
		if err != nil {
			return false
		}
		ev := fds[0].Revents
		if pollErr == nil && (ev&unix.POLLHUP == 0 || ev&unix.POLLIN != 0) {
			return true
		}
		interval = min(2*interval, lastClientPoll)
		timer.Reset(interval)
	}
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

func (m ptySink) Write(p []byte) (int, error) {
	n, err := m.File.Write(p)
	if errors.Is(err, unix.EIO) {
		err = errNoLink
	}
	return n, err
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
