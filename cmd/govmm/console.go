package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
)

// escapeByte is ^] (GS), which leaves the console as it does in virsh.
const escapeByte = 0x1d

// joinConsole makes standard input and output the host end of the machine's
// first console, be it a serial port or a virtio console, if that is a pty, unless
// a device of type stdio has them already. It reports whether the machine uses
// them now.
//
// A pty in between would add nothing but the loss of what the guest prints last:
// a pty forgets what its reader has not taken yet when the other end closes.
func joinConsole(d *domcfg.Domain) (joined bool, err error) {
	if err := d.SetDefaults(rand.Reader); err != nil {
		return false, err
	}
	var all []*domcfg.CharBackend // the consoles first, in their order
	for _, s := range d.Devices.Serials {
		all = append(all, &s.CharBackend)
	}
	for _, c := range d.Devices.Consoles {
		if !c.IsSerial() { // else it is the first serial port
			all = append(all, &c.CharBackend)
		}
	}
	consoles := len(all)
	for _, c := range d.Devices.Channels {
		all = append(all, &c.CharBackend)
	}
	for _, p := range d.Devices.Parallels {
		all = append(all, &p.CharBackend)
	}
	for _, b := range all {
		if b.Type == domcfg.CharStdio {
			return true, nil
		}
	}
	if consoles == 0 || all[0].Type != domcfg.CharPTY {
		return false, nil
	}
	all[0].Type = domcfg.CharStdio
	return true, nil
}

// console is the user's end of the machine's console.
//
// What comes from a file or a pipe goes to the guest as it is. A terminal's keys
// go through a pipe of the kernel, which holds what a busy guest has not taken
// yet (64 KiB), so that the escape key is seen also when the guest hangs.
type console struct {
	input *os.File // for the machine

	tty     *terminal // nil: standard input is not a terminal, and the rest is unused
	keys    *os.File  // the terminal to read
	own     bool      // keys is a file of our own, whose Read can be interrupted
	pipe    *os.File  // where the keys go: input is its other end
	reading sync.WaitGroup
}

// openConsole prepares standard input, and leaves a terminal as it is until
// start.
func openConsole(stdin *os.File) (*console, error) {
	c := &console{input: stdin, keys: stdin}
	if !isTerminal(stdin) {
		return c, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	c.tty, c.input, c.pipe = &terminal{file: stdin}, r, w
	// A second description of the terminal can be non-blocking without the shell
	// finding its own so. Another user's terminal (after su) cannot be opened;
	// then a blocked Read ends with the process.
	descriptor(stdin, func(fd int) {
		flags := os.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
		if f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), flags, 0); err == nil {
			c.keys, c.own = f, true
		}
	})
	return c, nil
}

// start puts a terminal into raw mode and passes its keys on until ^] is among
// them, which calls escape.
func (c *console) start(escape func()) error {
	if c.tty == nil {
		return nil
	}
	if err := c.tty.makeRaw(); err != nil {
		return err
	}
	passOn := func() {
		if copyKeys(c.pipe, c.keys) {
			escape()
		}
		c.pipe.Close() // the guest's input is at its end
	}
	if c.own {
		c.reading.Go(passOn)
	} else {
		go passOn()
	}
	return nil
}

// copyKeys copies until an error, the end, or the escape key.
func copyKeys(to io.Writer, from io.Reader) (escaped bool) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if bytes.IndexByte(buf[:n], escapeByte) >= 0 {
			return true // what was typed before it reaches nobody any more
		}
		if _, writeErr := to.Write(buf[:n]); writeErr != nil || err != nil {
			return false
		}
	}
}

// close stops reading and restores the terminal. Keys that were not read stay
// for whoever is next. Closing again does nothing.
func (c *console) close() {
	if c.tty == nil {
		return
	}
	c.tty.restore()
	c.input.Close()
	c.pipe.Close()
	if c.own {
		_ = c.keys.SetReadDeadline(time.Unix(1, 0)) // fails only when closed
		c.reading.Wait()
		c.keys.Close()
	}
}
