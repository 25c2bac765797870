package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/govmm/govmm/tests/initramfs/early"
	"golang.org/x/sys/unix"
)

// actions a guest can be asked for:
//
//	poweroff          power off, through ACPI if the machine has it
//	reboot            restart, in the way reboot= on the command line says
//	triple            restart by a triple fault
//	halt              stop the processors, with the power on
//	panic             a kernel panic; panic= says what follows
//	hang              do nothing, for ever, with a healthy kernel
//	watchdog          start the watchdog, and never feed it
//	wait-powerbutton  power off when the power button is pressed
//	shell             /bin/sh on the console, then power off
//	obey              commands from the console (obey.go)
//
// An action ends the machine: it returns only if that failed.
func actions() map[string]func() error {
	return map[string]func() error{
		"poweroff":         early.PowerOff,
		"reboot":           restart,
		"triple":           tripleFault,
		"halt":             func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_HALT) },
		"panic":            func() error { return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0) },
		"hang":             func() error { select {} },
		"watchdog":         startWatchdog,
		"wait-powerbutton": waitPowerButton,
		"shell":            shell,
		"obey":             obey,
	}
}

func restart() error {
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// tripleFault restarts with the kernel's way of last resort: an exception
// with an empty interrupt descriptor table. force leaves the others out.
func tripleFault() error {
	for _, set := range [][2]string{{"/sys/kernel/reboot/type", "triple"}, {"/sys/kernel/reboot/force", "1"}} {
		if err := os.WriteFile(set[0], []byte(set[1]), 0); err != nil {
			return err
		}
	}
	return restart()
}

func startWatchdog() error {
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0) // starts it
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if _, err := f.Write([]byte{0}); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	seconds, err := unix.IoctlGetInt(int(f.Fd()), unix.WDIOC_GETTIMEOUT)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	say("watchdog %d", seconds)
	select {}
}

func waitPowerButton() error {
	button, err := early.OpenPowerButton()
	if err != nil {
		return err
	}
	say("waiting for the power button")
	if err := button.Wait(); err != nil {
		return err
	}
	say("power button pressed")
	return early.PowerOff()
}

func shell() error {
	cmd := exec.Command("/bin/sh")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	complain(cmd.Run())
	return early.PowerOff()
}
