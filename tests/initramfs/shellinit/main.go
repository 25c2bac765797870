// Command shellinit is the first process of the demonstration guest: it shows
// what machine it is on and gives a shell (busybox) on the console. The
// machine powers off when the shell ends, when its power button is pressed, or
// by busybox's poweroff, reboot and halt. With demo=batch on the kernel
// command line it powers off at once.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/initramfs/early"
	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "shellinit: this program is the first process of a guest")
		os.Exit(1)
	}
	warn(early.MountAll(early.Kernel()...))
	warn(early.MountAll(
		early.Mount{Source: "devpts", Target: "/dev/pts", Type: "devpts"},
		early.Mount{Source: "tmpfs", Target: "/tmp", Type: "tmpfs"},
		early.Mount{Source: "tmpfs", Target: "/run", Type: "tmpfs"},
	))
	warn(early.LoadModules(initramfs.ModuleList, nil))
	warn(early.LoopbackUp())
	warn(unix.Sethostname([]byte("guest")))

	command := unix.LINUX_REBOOT_CMD_POWER_OFF
	warn(banner())
	cmdline, err := early.Text("/proc/cmdline")
	warn(err)
	if mode, _ := early.Parameter(cmdline, "demo"); mode != "batch" {
		command = interact()
	}
	early.Drain()
	unix.Sync()
	warn(unix.Reboot(command))
	select {} // halted, or refused: returning would be a panic
}

func warn(err error) {
	if err != nil {
		fmt.Println("init:", err)
	}
}

// banner says where we are.
func banner() error {
	release, err := early.Release()
	if err != nil {
		return err
	}
	kib, err := early.MemTotal()
	if err != nil {
		return err
	}
	clock, err := early.Text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		return err
	}
	uptime, err := early.Text("/proc/uptime")
	if err != nil {
		return err
	}
	up, _, _ := strings.Cut(uptime, " ")
	plural := "s"
	if runtime.NumCPU() == 1 {
		plural = ""
	}
	_, err = fmt.Printf("\nLinux %s: %d CPU%s, %d MiB of memory, clock %s, up after %s s\n\n",
		release, runtime.NumCPU(), plural, kib/1024, clock, up)
	return err
}

// interact runs the shell and returns how the machine should end.
func interact() int {
	ended := make(chan int, 4) // one for each of those who may say so
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM)
	go func() {
		// What busybox's halt, poweroff and reboot send to process 1.
		switch <-signals {
		case unix.SIGUSR1:
			ended <- unix.LINUX_REBOOT_CMD_HALT
		case unix.SIGUSR2:
			ended <- unix.LINUX_REBOOT_CMD_POWER_OFF
		case unix.SIGTERM:
			ended <- unix.LINUX_REBOOT_CMD_RESTART
		}
	}()
	if button, err := early.OpenPowerButton(); err == nil { // a machine may have none
		go func() {
			warn(button.Wait())
			ended <- unix.LINUX_REBOOT_CMD_POWER_OFF
		}()
	}
	go func() {
		warn(shell())
		ended <- unix.LINUX_REBOOT_CMD_POWER_OFF
	}()
	return <-ended
}

// shell runs busybox's on the console, until it ends.
func shell() error {
	console, err := openConsole()
	if err != nil {
		return err
	}
	defer console.Close()
	if out, err := exec.Command("/bin/busybox", "--install", "-s", "/bin").CombinedOutput(); err != nil {
		return fmt.Errorf("busybox --install: %w: %s", err, out)
	}
	sh, err := os.StartProcess("/bin/sh", []string{"-sh"}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/bin", "HOME=/", "TERM=linux", `PS1=\h:\w# `},
		Files: []*os.File{console, console, console},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: true},
	})
	if err != nil {
		return err
	}
	for { // collecting, meanwhile, the orphans of others
		pid, err := unix.Wait4(-1, nil, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case pid == sh.Pid:
			return nil
		}
	}
}

// openConsole opens the terminal behind /dev/console, which itself cannot be
// a controlling terminal of its own name. The active consoles are listed with
// the preferred one last.
func openConsole() (*os.File, error) {
	list, err := early.Text("/sys/class/tty/console/active")
	if err != nil {
		return nil, err
	}
	names := strings.Fields(list)
	if len(names) == 0 {
		return nil, fmt.Errorf("the kernel has no console; is console= right?")
	}
	fd, err := unix.Open("/dev/"+names[len(names)-1], unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/%s: %w", names[len(names)-1], err)
	}
	return os.NewFile(uintptr(fd), "console"), nil
}
