package chardev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// modemPoll is how often the modem lines are looked at. TIOCMIWAIT would wait for
// them, but nothing short of a signal ends that.
const modemPoll = 50 * time.Millisecond

// HostSerialOptions are the options of OpenHostSerial.
type HostSerialOptions struct {
	Options

	// Path is the device, for instance /dev/ttyS0.
	Path string

	// Patience is as in PtyOptions.
	Patience time.Duration
}

// HostSerial is the back end at a serial port of the host (type='dev'). The line
// is the guest's: rate, character format, DTR, RTS and breaks are passed on to
// the port, and CTS, DSR, RI, DCD and breaks from it. Flow control is the guest's
// business. Where the driver has no modem lines, the connection is up.
//
// A port that goes away, as that of an adapter that is pulled out, is opened again
// when it is back. The terminal settings are put back by Close.
type HostSerial struct {
	linked
	path string

	mu      sync.Mutex
	set     serialLines   // what the guest wants
	changed chan struct{} // capacity 1: set has changed
}

// serialLines is what the guest wants of the line. What it has not asked for is
// left as it is.
type serialLines struct {
	line      LineSettings // Rate 0: not asked for
	modem     bool         // dtr and rts were asked for
	dtr, rts  bool
	sendBreak bool
}

// OpenHostSerial fails when there is no such device, it is no serial port, or
// another program has locked it (flock(2)).
func OpenHostSerial(opts HostSerialOptions) (*HostSerial, error) {
	h := &HostSerial{path: opts.Path, changed: make(chan struct{}, 1)}
	first, err := h.open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", opts.Name, err)
	}
	var pauses backOff
	h.next = func(ctx context.Context) link {
		if c := first; c != nil {
			first = nil
			pauses.connected()
			return c
		}
		return h.reopen(ctx, &pauses)
	}
	h.start(opts.Options, opts.Patience, opts.Path, func() error {
		if first != nil { // there never was a front end
			return first.Close()
		}
		return nil
	})
	return h, nil
}

// reopen waits until the device is back.
func (h *HostSerial) reopen(ctx context.Context, pauses *backOff) link {
	for pauses.wait(ctx) {
		if c, err := h.open(); err == nil {
			pauses.connected()
			return c
		}
	}
	return nil
}

// SetModemControl implements ModemController.
func (h *HostSerial) SetModemControl(dtr, rts bool) {
	h.change(func(s *serialLines) { s.modem, s.dtr, s.rts = true, dtr, rts })
}

// SetBreak implements BreakSender.
func (h *HostSerial) SetBreak(on bool) { h.change(func(s *serialLines) { s.sendBreak = on }) }

// SetLine implements LineController.
func (h *HostSerial) SetLine(line LineSettings) { h.change(func(s *serialLines) { s.line = line }) }

func (h *HostSerial) change(f func(*serialLines)) {
	h.mu.Lock()
	f(&h.set)
	h.mu.Unlock()
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *HostSerial) wanted() serialLines {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.set
}

// open opens the device with settings that change no byte.
func (h *HostSerial) open() (*serialLink, error) {
	const flags = os.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK
	file, err := os.OpenFile(h.path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, deviceAdvice(err))
	}
	c := &serialLink{someWriter: someWriter{file}, port: h, done: make(chan struct{})}
	ctlErr := control(file, func(fd int) {
		if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			err = errors.New("another program uses it")
			return
		}
		if c.saved, err = unix.IoctlGetTermios(fd, unix.TCGETS2); err != nil {
			err = errors.New("it is not a serial port")
			return
		}
		err = unix.IoctlSetTermios(fd, unix.TCSETS2, rawSerial(*c.saved))
	})
	if err = errors.Join(ctlErr, err); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", h.path, err)
	}
	_, err = c.modemLines()
	h.hasModem(err == nil)
	c.following.Go(c.follow)
	return c, nil
}

// deviceAdvice adds what to do about an error of opening a device.
func deviceAdvice(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return " (serial ports belong to the group dialout: usermod -aG dialout USER)"
	case errors.Is(err, unix.EISDIR):
		return " (the source path must name a device, for instance /dev/ttyS0)"
	case errors.Is(err, unix.EBUSY):
		return " (another program uses it)"
	}
	return ""
}

// rawSerial is t without any processing, but with a mark before a break:
// 0377 0 0, and a 0377 that was received doubled (PARMRK, termios(3)).
func rawSerial(t unix.Termios) *unix.Termios {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL |
		unix.IXON | unix.IXOFF | unix.IGNPAR | unix.INPCK
	t.Iflag |= unix.PARMRK
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CRTSCTS
	t.Cflag |= unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return &t
}

// serialLink is the device while it is there.
type serialLink struct {
	someWriter
	port  *HostSerial
	saved *unix.Termios
	marks markDecoder

	done      chan struct{} // closed by Close
	following sync.WaitGroup
}

func (c *serialLink) peerGone() bool { return false } // a reader is told

// Read implements link.
func (c *serialLink) Read(p []byte) (int, error) {
	for {
		if n, err := c.marks.decode(p); n > 0 || err != nil {
			return n, err
		}
		n, err := c.File.Read(c.marks.buf[:])
		if err != nil {
			return 0, err
		}
		c.marks.in = c.marks.buf[:n]
	}
}

// Close puts the settings back. Output that the line has not sent yet is thrown
// away: it may be stopped for ever.
func (c *serialLink) Close() error {
	close(c.done)
	c.following.Wait()
	_ = control(c.File, func(fd int) { // the device may be gone
		_ = unix.IoctlSetInt(fd, unix.TIOCCBRK, 0)
		_ = unix.IoctlSetTermios(fd, unix.TCSETS2, c.saved)
	})
	return c.File.Close()
}

// follow keeps the line as the guest wants it, and tells the guest about the
// modem lines, in a goroutine of its own: for a USB adapter each is a message.
func (c *serialLink) follow() {
	tick := time.NewTicker(modemPoll)
	defer tick.Stop()
	ticks := tick.C
	var have serialLines
	var shown ModemLines
	told := false
	for {
		want := c.port.wanted()
		if want != have {
			c.apply(have, want)
			have = want
		}
		lines, err := c.modemLines()
		switch {
		case err != nil:
			ticks = nil // it has none, or is gone
		case !told || lines != shown:
			told = c.port.setModem(lines)
			shown = lines
		}
		select {
		case <-c.port.changed:
		case <-ticks:
		case <-c.done:
			return
		}
	}
}

// apply changes what the guest wants otherwise than before. A driver that cannot
// do it has no such thing.
func (c *serialLink) apply(have, want serialLines) {
	_ = control(c.File, func(fd int) {
		if want.line != have.line {
			if t, err := unix.IoctlGetTermios(fd, unix.TCGETS2); err == nil {
				setLine(t, want.line)
				_ = unix.IoctlSetTermios(fd, unix.TCSETS2, t)
			}
		}
		if want.modem && (want.dtr != have.dtr || want.rts != have.rts || !have.modem) {
			for _, pin := range []struct {
				bit int
				on  bool
			}{{unix.TIOCM_DTR, want.dtr}, {unix.TIOCM_RTS, want.rts}} {
				request := uint(unix.TIOCMBIC)
				if pin.on {
					request = unix.TIOCMBIS
				}
				_ = unix.IoctlSetPointerInt(fd, request, pin.bit)
			}
		}
		if want.sendBreak != have.sendBreak {
			request := uint(unix.TIOCCBRK)
			if want.sendBreak {
				request = unix.TIOCSBRK
			}
			_ = unix.IoctlSetInt(fd, request, 0)
		}
	})
}

// setLine puts line settings into t, at any rate the driver can make (BOTHER,
// ioctl_tty(2)).
func setLine(t *unix.Termios, line LineSettings) {
	t.Cflag &^= unix.CBAUD | unix.CBAUD<<unix.IBSHIFT | unix.CSIZE | unix.CSTOPB | unix.PARENB | unix.PARODD | unix.CMSPAR
	t.Cflag |= unix.BOTHER
	t.Ospeed, t.Ispeed = line.Rate, line.Rate
	t.Cflag |= [...]uint32{unix.CS5, unix.CS6, unix.CS7, unix.CS8}[min(max(line.DataBits, 5), 8)-5]
	if line.StopBits > 1 {
		t.Cflag |= unix.CSTOPB
	}
	t.Cflag |= [...]uint32{
		NoParity:    0,
		OddParity:   unix.PARENB | unix.PARODD,
		EvenParity:  unix.PARENB,
		MarkParity:  unix.PARENB | unix.CMSPAR | unix.PARODD,
		SpaceParity: unix.PARENB | unix.CMSPAR,
	}[min(line.Parity, SpaceParity)]
}

// modemLines are the inputs now.
func (c *serialLink) modemLines() (lines ModemLines, err error) {
	var bits int
	ctlErr := control(c.File, func(fd int) { bits, err = unix.IoctlGetInt(fd, unix.TIOCMGET) })
	for bit, line := range map[int]ModemLines{unix.TIOCM_CTS: CTS, unix.TIOCM_DSR: DSR, unix.TIOCM_RI: RI, unix.TIOCM_CD: DCD} {
		if bits&bit != 0 {
			lines |= line
		}
	}
	return lines, errors.Join(ctlErr, err)
}

// markDecoder undoes the marks of PARMRK.
type markDecoder struct {
	buf   [4096]byte
	in    []byte // what of buf is still to be decoded
	state uint8  // how many bytes of a mark have come
}

// decode moves bytes to p until a break, for which the error is errBreak.
func (d *markDecoder) decode(p []byte) (n int, err error) {
	for n < len(p) && len(d.in) > 0 {
		b := d.in[0]
		if d.state == 1 && b != 0 && b != 0xff {
			// A 0377 that was not doubled, since another program has changed the
			// settings.
			d.state, p[n] = 0, 0xff
			n++
			continue
		}
		d.in = d.in[1:]
		switch {
		case d.state == 0 && b == 0xff, d.state == 1 && b == 0:
			d.state++
			continue
		case d.state == 2 && b == 0:
			d.state = 0
			return n, errBreak
		}
		// A byte as it is, the second 0377 of two, or a byte with a wrong parity
		// bit, of which the guest's UART has no notion.
		d.state = 0
		p[n] = b
		n++
	}
	return n, nil
}
