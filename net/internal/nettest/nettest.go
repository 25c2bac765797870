// Package nettest gives tests a network of their own.
package nettest

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// variable tells the test program that it runs in its own namespace.
const variable = "GOVMM_NETTEST"

// Inside reports whether this program runs in a network namespace made by
// Reexec.
func Inside() bool { return os.Getenv(variable) != "" }

// Reexec runs this program again, with the same arguments, in a new network
// namespace, and returns its exit status. Without root, a new user namespace
// gives it the rights it needs there.
func Reexec() (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(program, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// Quiet turns IPv6 off in this namespace, so that interfaces send nothing by
// themselves.
func Quiet() error {
	for _, which := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
