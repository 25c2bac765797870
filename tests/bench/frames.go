package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// frameType is the EtherType of the tiny kernel's frames (IEEE 802, local
// experimental 2), in network byte order as a number of the host.
var frameType = binary.NativeEndian.Uint16([]byte{0x88, 0xb6})

// frames is the host's end of a tap with the tiny kernel behind it. It sends
// each of the kernel's frames back, or floods it with frames.
type frames struct {
	tap   string
	link  netlink.Link
	wire  *os.File
	ended atomic.Bool
	work  sync.WaitGroup
}

// openFrames makes a tap that stays when the machine ends. Nothing lasts longer
// than the time given.
func openFrames(tap string, flood bool, longest time.Duration) (*frames, error) {
	link := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: tap}, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_NO_PI,
	}
	if err := netlink.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("%s: %w", tap, err)
	}
	f := &frames{tap: tap, link: link}
	if err := f.open(flood, longest); err != nil {
		return nil, errors.Join(err, netlink.LinkDel(link))
	}
	return f, nil
}

func (f *frames) open(flood bool, longest time.Duration) error {
	if err := netlink.LinkSetUp(f.link); err != nil {
		return fmt.Errorf("%s: %w", f.tap, err)
	}
	link, err := netlink.LinkByName(f.tap)
	if err != nil {
		return fmt.Errorf("%s: %w", f.tap, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(frameType))
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	address := &unix.SockaddrLinklayer{Protocol: frameType, Ifindex: link.Attrs().Index}
	patience := unix.NsecToTimeval(int64(50 * time.Millisecond)) // to see that it has ended
	if err := errors.Join(unix.Bind(fd, address), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", f.tap, err), unix.Close(fd))
	}
	f.wire = os.NewFile(uintptr(fd), "packet socket")
	work := f.echo
	if flood {
		work = f.flood
	}
	end := time.Now().Add(longest)
	f.work.Go(func() { work(fd, end) })
	return nil
}

// echo sends frames back to who sent them.
func (f *frames) echo(fd int, end time.Time) {
	frame := make([]byte, 2048)
	for !f.ended.Load() && time.Now().Before(end) {
		n, err := unix.Read(fd, frame)
		if err != nil || n < 14 {
			continue // nothing for a while, or the machine has ended
		}
		copy(frame[0:6], frame[6:12])
		copy(frame[6:12], []byte{2, 0, 0, 0, 0, 1})
		_, _ = unix.Write(fd, frame[:n]) // a lost frame shows
	}
}

// flood sends frames as fast as they are taken.
func (f *frames) flood(fd int, end time.Time) {
	frame := make([]byte, 1514)
	copy(frame, []byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb6})
	for !f.ended.Load() && time.Now().Before(end) {
		if _, err := unix.Write(fd, frame); err != nil {
			time.Sleep(100 * time.Microsecond) // the queue is full, or nobody is there yet
		}
	}
}

func (f *frames) close() error {
	f.ended.Store(true)
	f.work.Wait()
	return errors.Join(f.wire.Close(), netlink.LinkDel(f.link))
}
