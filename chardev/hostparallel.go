package chardev

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The requests of a user-space parallel port (linux/ppdev.h), which all take a
// byte but for the last two.
const (
	ppReadStatus   = 0x80017081
	ppWriteControl = 0x40017084
	ppReadData     = 0x80017085
	ppWriteData    = 0x40017086
	ppClaim        = 0x708b
	ppRelease      = 0x708c
	ppDataDir      = 0x40047090 // int: 0 is out
	ppClearIRQ     = 0x80047093 // int: how many there were
)

// The bits of the control register, as in package parallel.
const (
	parallelDir = 1 << 5
	parallelOut = 0x0f // the four lines
)

// HostParallelOptions are the options of OpenHostParallel.
type HostParallelOptions struct {
	Options

	// Path is the device, for instance /dev/parport0, of Linux' module ppdev.
	Path string
}

// HostParallel is the back end at a parallel port of the host (type='dev' of a
// parallel port), which is the guest's alone as long as the machine lives. Each
// access of the guest's to a register is one of the host's; interrupts are passed
// on. It carries no stream: Write takes bytes for nothing.
type HostParallel struct {
	port
	file *os.File
	do   func(request uint, arg unsafe.Pointer) error
	dir  atomic.Int32 // as last set
}

// OpenHostParallel fails when there is no such device, it is no parallel port, or
// another driver has it.
func OpenHostParallel(opts HostParallelOptions) (*HostParallel, error) {
	file, err := os.OpenFile(opts.Path, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (a parallel port is /dev/parport0 and so on, of the module ppdev)", opts.Name, err)
	}
	h := newHostParallel(opts, func(request uint, arg unsafe.Pointer) (err error) {
		ctlErr := control(file, func(fd int) {
			if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); errno != 0 {
				err = errno
			}
		})
		return errors.Join(ctlErr, err)
	})
	h.file = file
	if err := h.do(ppClaim, nil); err != nil {
		_ = file.Close()
		if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("%s: %s: it is not a parallel port", opts.Name, opts.Path)
		}
		return nil, fmt.Errorf("%s: claim %s: %w (another driver has the port: lp?)", opts.Name, opts.Path, err)
	}
	return h, nil
}

func newHostParallel(opts HostParallelOptions, do func(request uint, arg unsafe.Pointer) error) *HostParallel {
	h := &HostParallel{do: do}
	h.init(opts.Options, true)
	h.input, h.run = h, h.interrupts
	h.close = func() error {
		err := h.do(ppRelease, nil)
		if h.file != nil {
			err = errors.Join(err, h.file.Close())
		}
		return err
	}
	return h
}

// access is a request with a byte, of which an error is no reason to stop.
func (h *HostParallel) access(request uint, v byte) byte {
	if err := h.do(request, unsafe.Pointer(&v)); err != nil {
		h.errs.report("access to the parallel port failed", err)
		return 0xff
	}
	return v
}

// ReadData implements ParallelController.
func (h *HostParallel) ReadData() byte { return h.access(ppReadData, 0) }

// WriteData implements ParallelController.
func (h *HostParallel) WriteData(v byte) { h.access(ppWriteData, v) }

// ReadStatus implements ParallelController.
func (h *HostParallel) ReadStatus() byte { return h.access(ppReadStatus, 0) }

// WriteControl implements ParallelController. Linux keeps the interrupt enable to
// itself.
func (h *HostParallel) WriteControl(v byte) {
	dir := int32(v & parallelDir)
	if h.dir.Swap(dir) != dir {
		if err := h.do(ppDataDir, unsafe.Pointer(&dir)); err != nil {
			h.errs.report("the parallel port has no reverse direction", err)
		}
	}
	h.access(ppWriteControl, v&parallelOut)
}

// interrupts passes on the port's interrupts, of which a poll tells.
func (h *HostParallel) interrupts() {
	if h.file == nil {
		return
	}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) (done bool) { // fails when interrupted
		var count int32
		if h.do(ppClearIRQ, unsafe.Pointer(&count)) == nil && count > 0 {
			h.acknowledge()
		}
		return h.stopped()
	})
}

func (h *HostParallel) acknowledge() {
	h.toFront.Lock()
	defer h.toFront.Unlock()
	if r, ok := h.front.(AcknowledgeReceiver); ok && !h.stopped() {
		r.Acknowledge()
	}
}

// interrupt implements interrupter.
func (h *HostParallel) interrupt() bool {
	return h.file == nil || h.file.SetReadDeadline(past()) == nil
}
