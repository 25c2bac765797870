package vhost

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageSize is the unit of the dirty log in bytes (VHOST_PAGE_SIZE).
const pageSize = 4096

// dirtyLog is the bitmap the kernel notes its writes to guest memory in: bit i
// of the whole is the page at guest-physical address i*pageSize. It is outside
// the Go heap, since the kernel has its address.
type dirtyLog struct {
	bitmap  []byte
	regions []Region
}

// newDirtyLog makes a log of all memory, which is sparse: what lies between the
// regions takes address space only.
func newDirtyLog(regions []Region) (*dirtyLog, error) {
	var end uint64
	for _, r := range regions {
		end = max(end, r.GPA+uint64(len(r.Host)))
	}
	words := (end/pageSize + 64) / 64
	bitmap, err := unix.Mmap(-1, 0, int(words*8), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("vhost: dirty log: %w", err)
	}
	return &dirtyLog{bitmap, regions}, nil
}

func (l *dirtyLog) close() error { return unix.Munmap(l.bitmap) }

// StartLog makes the kernel note the pages it writes, until StopLog. The rings
// must be running. Stop leaves the log, for the pages that were written last.
func (n *Net) StartLog() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.running == 0:
		return errors.New("vhost: not running, so there is nothing to log")
	case n.log != nil:
		return errors.New("vhost: is logging")
	}
	log, err := newDirtyLog(n.config.Memory)
	if err != nil {
		return err
	}
	n.log = log
	if err := n.setLogging(true); err != nil {
		return errors.Join(err, n.stopLog())
	}
	return nil
}

// StopLog ends the log. What DrainLog has not returned is lost.
func (n *Net) StopLog() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stopLog()
}

func (n *Net) stopLog() error {
	if n.log == nil {
		return nil
	}
	if err := n.setLogging(false); err != nil {
		return err // the kernel may still write to it
	}
	err := n.log.close()
	n.log = nil
	return err
}

// setLogging turns the log on or off for the rings that run.
func (n *Net) setLogging(on bool) error {
	features := n.config.Features & ringFeatures
	flags := uint32(0)
	if on {
		features |= featureLogAll
		flags = vringLog
	}
	base := uint64(uintptr(unsafe.Pointer(&n.log.bitmap[0])))
	for i := range n.running {
		fd, pair := n.fds[i], &n.config.Pairs[i]
		if on {
			if err := ioctl(fd, setLogBase, unsafe.Pointer(&base)); err != nil {
				return fmt.Errorf("vhost: queue pair %d: %w", i, err)
			}
		}
		for index, ring := range [...]*Ring{ringReceive: &pair.Receive, ringTransmit: &pair.Transmit} {
			addr, err := n.config.address(uint32(index), ring)
			if err != nil {
				return fmt.Errorf("vhost: queue pair %d: %w", i, err)
			}
			addr.flags = flags
			if err := ioctl(fd, setVringAddr, unsafe.Pointer(&addr)); err != nil {
				return fmt.Errorf("vhost: queue pair %d: %w", i, err)
			}
		}
		if err := ioctl(fd, setFeatures, unsafe.Pointer(&features)); err != nil {
			return fmt.Errorf("vhost: queue pair %d: %w", i, err)
		}
	}
	return nil
}

// DrainLog calls f for each region of memory with the pages written since the
// last call: bit 0 of log[0] is the page at gpa. log is f's only until it
// returns.
func (n *Net) DrainLog(f func(gpa uint64, log []uint64) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.log == nil {
		return errors.New("vhost: is not logging")
	}
	for _, r := range n.log.regions {
		if err := f(r.GPA, n.log.take(r.GPA/pageSize, uint64(len(r.Host))/pageSize)); err != nil {
			return err
		}
	}
	return nil
}

// take returns and clears the bits of pages, shifted so that the first is bit
// 0. Regions need not begin at a multiple of 64 pages.
func (l *dirtyLog) take(first, pages uint64) []uint64 {
	log := make([]uint64, (pages+63)/64)
	for i := uint64(0); i < pages; {
		bit := (first + i) % 64
		run := min(64-bit, pages-i) // pages of this word
		mask := ^uint64(0) >> (64 - run) << bit
		word := (*uint64)(unsafe.Pointer(&l.bitmap[(first+i)/64*8]))
		if atomic.LoadUint64(word)&mask != 0 {
			got := (atomic.AndUint64(word, ^mask) & mask) >> bit
			log[i/64] |= got << (i % 64)
			if over := i%64 + run; over > 64 {
				log[i/64+1] |= got >> (64 - i%64)
			}
		}
		i += run
	}
	return log
}
