package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/govmm/govmm/tests/testhost/wire"
	"golang.org/x/sys/unix"
)

// kernelArgs: the console on the first serial port, a panic that ends the
// machine, and nothing that costs emulated time to no use.
const kernelArgs = "console=ttyS0 panic=-1 quiet tsc=reliable random.trust_cpu=on audit=0 mitigations=off"

// Run boots a machine, runs a command on it and returns the command's exit
// status: 128 and the signal's number if one killed it, 127 if it was not
// found. The error is set if the command did not run to its end: the status is
// then ExitTimeout with ErrTimeout, or ExitDied with the context's error or a
// *DiedError. All that the machine used here is gone when Run returns.
func Run(ctx context.Context, o Options, argv ...string) (exit int, err error) {
	if len(argv) == 0 {
		return ExitDied, errors.New("testhost: no command")
	}
	if err := Available(); err != nil {
		return ExitDied, err
	}
	c, err := openCache()
	if err != nil {
		return ExitDied, err
	}
	p, err := c.prepare(ctx)
	if err != nil {
		return ExitDied, err
	}
	dir, err := workingDir(o.Dir)
	if err != nil {
		return ExitDied, fmt.Errorf("testhost: %w", err)
	}
	out, removeOut, err := outDir(o.Out)
	if err != nil {
		return ExitDied, fmt.Errorf("testhost: %w", err)
	}
	defer removeOut()

	request := wire.Request{Args: argv, Env: environment(os.Environ(), o.Env, p), Dir: dir, Modules: p.outer.Modules}
	if o.Terminal != nil {
		request.TTY = (*wire.Size)(&o.Terminal.Size)
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, ErrTimeout)
		defer cancel()
	}
	return o.run(ctx, p, out, request)
}

// outDir returns the directory to share as /out, and what removes it if it is
// a temporary one.
func outDir(dir string) (string, func(), error) {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "testhost-out-")
		return tmp, func() { os.RemoveAll(tmp) }, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	abs, err := filepath.Abs(dir)
	return abs, func() {}, err
}

// run starts QEMU and speaks with the machine until it, or the context, ends.
func (o *Options) run(ctx context.Context, p paths, out string, request wire.Request) (int, error) {
	link, linkEnd, err := socketPair("testhost")
	if err != nil {
		return ExitDied, fmt.Errorf("testhost: %w", err)
	}
	defer link.Close()
	defer linkEnd.Close()
	console, consoleEnd, err := socketPair("console")
	if err != nil {
		return ExitDied, fmt.Errorf("testhost: %w", err)
	}
	defer console.Close()
	defer consoleEnd.Close()
	monitor, monitorEnd, err := socketPair("monitor")
	if err != nil {
		return ExitDied, fmt.Errorf("testhost: %w", err)
	}
	defer monitor.Close()
	defer monitorEnd.Close()

	said := &tail{limit: 4 << 10}
	cmd := exec.Command(qemu, o.arguments(p, out)...)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.ExtraFiles = []*os.File{linkEnd, consoleEnd, monitorEnd} // 3 to 5 in arguments
	// Its own process group: a Ctrl-C at our terminal is ours to act on.
	// And QEMU must not outlive us, whatever kills us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig means this thread's death
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return ExitDied, fmt.Errorf("testhost: %w", err)
	}
	linkEnd.Close()
	consoleEnd.Close()
	monitorEnd.Close()
	found := make(chan string, 1)
	stop := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			found <- autopsy(monitor)
		}
		close(found)
		cmd.Process.Kill()
	})
	defer stop()

	consoleTail := &tail{limit: 4 << 10, also: o.Console}
	var background sync.WaitGroup
	background.Go(func() { io.Copy(consoleTail, console) }) // ends with QEMU

	status, talkErr := o.talk(link, request)
	if !closed(talkErr) {
		cmd.Process.Kill() // what the machine had to say and keep, it has
	}
	waitErr := cmd.Wait()
	background.Wait()
	if talkErr == nil && status.Error == "" {
		return status.Exit, nil
	}

	cause := context.Cause(ctx)
	if errors.Is(cause, context.Canceled) {
		return ExitDied, fmt.Errorf("testhost: %w", cause)
	}
	exit, died := ExitDied, &DiedError{Console: consoleTail.String(), QEMU: said.useful()}
	if cause != nil {
		died.Processors = <-found
	}
	switch {
	case errors.Is(cause, ErrTimeout):
		exit, died.Reason = ExitTimeout, fmt.Errorf("%w, %v", ErrTimeout, o.Timeout)
	case cause != nil:
		died.Reason = cause
	case status.Error != "":
		died.Reason = fmt.Errorf("the machine could not run the command: %s", status.Error)
	case closed(talkErr):
		died.Reason = fmt.Errorf("the machine died before the command ended (%s: %s)", qemu, ending(waitErr))
	default:
		died.Reason = talkErr
	}
	return exit, died
}

// closed tells whether an error of the link to the machine says that QEMU has
// closed it, which it does when it ends.
func closed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET)
}

func ending(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// socketPair makes a connected pair of which the second end is for QEMU.
func socketPair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	// Ours is non-blocking, so that Close ends a Read or Write in progress.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

// talk sends the request and hands on what the command writes, until the
// machine tells how it ended.
func (o *Options) talk(link *os.File, request wire.Request) (wire.Status, error) {
	out := wire.NewWriter(link)
	// QEMU takes the request when the machine has opened its port; a write
	// error shows as the end of what we read.
	go func() {
		if out.SendJSON(wire.Start, request) == nil && o.Terminal != nil {
			o.Terminal.attach(out)
		}
	}()
	in := wire.NewReader(link)
	for {
		kind, payload, err := in.Next()
		if err != nil {
			return wire.Status{}, err
		}
		switch kind {
		case wire.Stdout:
			err = write(o.Stdout, payload)
		case wire.Stderr:
			err = write(o.Stderr, payload)
		case wire.Exit:
			var status wire.Status
			err := json.Unmarshal(payload, &status)
			return status, err
		default:
			err = fmt.Errorf("the machine sent a frame of kind %d", kind)
		}
		if err != nil {
			return wire.Status{}, err
		}
	}
}

func write(w io.Writer, p []byte) error {
	if w == nil {
		return nil
	}
	_, err := w.Write(p)
	return err
}

// attach sends what is typed, and the terminal's changes of size, until the
// machine is gone.
func (t *Terminal) attach(out *wire.Writer) {
	if t.Resize != nil {
		go func() {
			for size := range t.Resize {
				if out.SendJSON(wire.Resize, size) != nil {
					return
				}
			}
		}()
	}
	if _, err := io.Copy(out.Stream(wire.Input), t.Input); err != nil {
		return
	}
	const endOfFile = 4 // Ctrl-D, a new terminal's VEOF
	_ = out.Send(wire.Input, []byte{endOfFile})
}

// arguments are QEMU's.
func (o *Options) arguments(p paths, out string) []string {
	accel, cpu := "tcg,thread=multi", "EPYC,+svm"
	if o.NestedPaging {
		cpu += ",+npt"
	} else {
		cpu += ",-npt"
	}
	switch {
	case o.Icount != "":
		accel = "tcg,thread=single"
	case o.Accel != "" && o.Accel != "tcg":
		accel, cpu = o.Accel, "host"
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "pc", "-accel", accel, "-cpu", cpu,
		"-smp", strconv.Itoa(orDefault(o.SMP, 2)), "-m", strconv.Itoa(orDefault(o.MemoryMiB, 4096)),
		"-kernel", p.vmlinux, "-initrd", p.initrd,
		"-append", strings.TrimSpace(kernelArgs + " " + o.Append),
		"-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap",
		"-virtfs", "local,path=" + escape(out) + ",mount_tag=out,security_model=none,multidevs=remap",
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=link,fd=3", "-device", "virtserialport,chardev=link,name=testhost",
		"-chardev", "socket,id=console,fd=4", "-serial", "chardev:console",
		"-chardev", "socket,id=monitor,fd=5", "-mon", "chardev=monitor,mode=control",
	}
	if o.Icount != "" {
		args = append(args, "-icount", "shift="+o.Icount+",sleep=off")
	}
	return append(args, o.QEMU...)
}

func orDefault(value, otherwise int) int {
	if value == 0 {
		return otherwise
	}
	return value
}

// escape writes a value for a QEMU option list, where a comma is doubled.
func escape(value string) string { return strings.ReplaceAll(value, ",", ",,") }
