package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// job is a load on a disk.
type job struct {
	device   string
	write    bool
	random   bool
	size     int // bytes of a request
	depth    int // requests at a time
	duration time.Duration
}

func parseJob(args []string) (j job, err error) {
	j.device, j.write, j.random = args[0], args[1] == "write", args[2] == "random"
	if j.size, err = strconv.Atoi(args[3]); err != nil {
		return j, err
	}
	if j.depth, err = strconv.Atoi(args[4]); err != nil {
		return j, err
	}
	j.duration, err = milliseconds(args[5])
	return j, err
}

// run puts the load on the disk, past the guest's page cache.
func (j job) run() (result, error) {
	fd, err := unix.Open(j.device, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", j.device, err)
	}
	defer unix.Close(fd)
	end, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", j.device, err)
	}
	// Memory of a mapping is aligned as O_DIRECT wants it.
	memory, err := unix.Mmap(-1, 0, j.size*j.depth, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return result{}, fmt.Errorf("buffers: %w", err)
	}
	defer unix.Munmap(memory)
	for i := range memory {
		memory[i] = byte(i*7 + i>>9) // no block of zeroes
	}
	next := j.places(end / int64(j.size))
	if j.depth == 1 {
		return j.oneByOne(fd, memory, next)
	}
	return j.atOnce(fd, memory, next)
}

// places returns a function that gives the offset of the next request, of n
// possible ones.
func (j job) places(n int64) func() int64 {
	if j.random {
		r := rand.New(rand.NewPCG(1, 2)) // the same for all machines
		return func() int64 { return r.Int64N(n) * int64(j.size) }
	}
	i := int64(-1)
	return func() int64 { i++; return i % n * int64(j.size) }
}

func (j job) oneByOne(fd int, memory []byte, next func() int64) (result, error) {
	do := unix.Pread
	if j.write {
		do = unix.Pwrite
	}
	count, start := int64(0), time.Now()
	for {
		if n, err := do(fd, memory, next()); err != nil || n != j.size {
			return result{}, fmt.Errorf("%s: %d bytes, %w", j.device, n, err)
		}
		count++
		if elapsed := time.Since(start); elapsed >= j.duration {
			return result{count, elapsed}, nil
		}
	}
}

// Linux AIO (include/uapi/linux/aio_abi.h).
type (
	control struct { // struct iocb
		data   uint64
		_      [2]uint32 // aio_key, aio_rw_flags
		opcode uint16
		_      int16 // aio_reqprio
		fd     uint32
		buf    uint64
		bytes  uint64
		offset int64
		_      [2]uint64 // aio_reserved2; aio_flags, aio_resfd
	}
	event struct { // struct io_event
		data, object uint64
		result       int64
		result2      int64
	}
)

const (
	aioRead  = 0 // IOCB_CMD_PREAD
	aioWrite = 1 // IOCB_CMD_PWRITE
)

// atOnce keeps j.depth requests going.
func (j job) atOnce(fd int, memory []byte, next func() int64) (result, error) {
	var context uintptr
	if _, _, errno := unix.Syscall(unix.SYS_IO_SETUP, uintptr(j.depth), uintptr(unsafe.Pointer(&context)), 0); errno != 0 {
		return result{}, fmt.Errorf("io_setup: %w", errno)
	}
	defer unix.Syscall(unix.SYS_IO_DESTROY, context, 0, 0)
	controls := make([]control, j.depth)
	pointers := make([]*control, j.depth)
	events := make([]event, j.depth)
	opcode := uint16(aioRead)
	if j.write {
		opcode = aioWrite
	}
	for i := range controls {
		controls[i] = control{
			data: uint64(i), opcode: opcode, fd: uint32(fd), bytes: uint64(j.size),
			buf: uint64(uintptr(unsafe.Pointer(&memory[i*j.size]))), offset: next(),
		}
		pointers[i] = &controls[i]
	}
	ready, flying, count, start := j.depth, 0, int64(0), time.Now()
	for {
		for ready > 0 { // the kernel may take some only
			n, _, errno := unix.Syscall(unix.SYS_IO_SUBMIT, context, uintptr(ready), uintptr(unsafe.Pointer(&pointers[0])))
			if errno != 0 {
				return result{}, fmt.Errorf("io_submit: %w", errno)
			}
			flying += int(n)
			ready = copy(pointers, pointers[n:ready])
		}
		if flying == 0 {
			return result{count, time.Since(start)}, nil
		}
		n, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, context, 1, uintptr(j.depth), uintptr(unsafe.Pointer(&events[0])), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return result{}, fmt.Errorf("io_getevents: %w", errno)
		}
		flying -= int(n)
		more := time.Since(start) < j.duration
		for _, e := range events[:n] {
			if e.result != int64(j.size) {
				return result{}, fmt.Errorf("%s: a request ended with %d", j.device, e.result)
			}
			count++
			if more {
				controls[e.data].offset = next()
				pointers[ready] = &controls[e.data]
				ready++
			}
		}
	}
}
