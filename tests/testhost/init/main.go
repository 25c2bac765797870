// Command init is the first process of the test host's machine: it makes the
// caller's file system the root, runs one command there and tells how it
// ended (package wire). It is in the machine's initramfs, static and alone.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/initramfs/early"
	"github.com/govmm/govmm/tests/testhost/wire"
	"golang.org/x/sys/unix"
)

// portName is the virtio-serial port the host listens at.
const portName = "testhost"

func main() {
	// A first process that returns is a kernel panic, whose message would
	// hide the reason: say it, then power off.
	if err := run(); err != nil {
		fmt.Println("testhost:", err)
	}
	if err := early.PowerOff(); err != nil {
		fmt.Println("testhost: power off:", err)
	}
}

func run() error {
	if os.Getpid() != 1 {
		return errors.New("this program is the first process of a machine")
	}
	if err := early.MountAll(early.Kernel()...); err != nil {
		return err
	}
	// The machine is of use without some of its modules; what misses one
	// will say so.
	warn(early.LoadModules(initramfs.ModuleList, wanted()))
	warn(holdMachine())

	port, err := openPort(portName)
	if err != nil {
		return err
	}
	out := wire.NewWriter(port)
	in := wire.NewReader(port)
	status, err := serve(in, out)
	if err != nil {
		status = wire.Status{Exit: 125, Error: err.Error()}
	}
	unix.Sync()
	if err := out.SendJSON(wire.Exit, status); err != nil {
		return fmt.Errorf("send the exit status: %w", err)
	}
	// Nothing is left to do: the host ends the machine when it has read the
	// status.
	return nil
}

func warn(err error) {
	if err != nil {
		fmt.Println("testhost:", err)
	}
}

// wanted tells which of the modules in the image suit this processor.
func wanted() func(name string) bool {
	info, err := os.ReadFile("/proc/cpuinfo")
	warn(err)
	flags := map[string]bool{}
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "flags" {
			for _, flag := range strings.Fields(value) {
				flags[flag] = true
			}
			break // one processor is like another
		}
	}
	return func(name string) bool {
		switch name {
		case "kvm_amd", "ccp":
			return flags["svm"]
		case "kvm_intel":
			return flags["vmx"]
		case "crc32c_intel":
			return flags["sse4_2"]
		}
		return true
	}
}

// openPort opens the virtio-serial port of a name.
func openPort(name string) (*os.File, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		text, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(text)) != name {
			continue
		}
		dev := "/dev/" + filepath.Base(filepath.Dir(file))
		// A blocking descriptor keeps the port out of the runtime's
		// poller, whose edges this driver does not always give.
		fd, err := unix.Open(dev, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", dev, err)
		}
		return os.NewFile(uintptr(fd), dev), nil
	}
	return nil, fmt.Errorf("this machine has no virtio-serial port named %s (virtio modules not loaded?)", name)
}

// serve takes the request and carries it out.
func serve(in *wire.Reader, out *wire.Writer) (wire.Status, error) {
	request, err := receive(in)
	if err != nil {
		return wire.Status{}, err
	}
	if err := enterRoot(request.Modules); err != nil {
		return wire.Status{}, err
	}
	return execute(request, in, out)
}
