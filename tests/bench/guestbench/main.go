// Command guestbench is the first process of the benchmark's guest. It says
// "bench: up", loads the drivers that are in its image, says "bench: ready",
// and then does what it is told on the console, a line a command:
//
//	cpuid N                                    N instructions that leave the guest
//	disk DEVICE read|write random|linear SIZE DEPTH MS
//	address INTERFACE ADDRESS/BITS             brings an interface up
//	tcp ADDRESS:PORT send|receive|echo MS      see package wire
//	off
//
// To all but the last it answers "bench: done COUNT NANOSECONDS" (instructions,
// requests, bytes, round trips), or "bench: error ...".
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/initramfs/early"
)

// say prints a line to the console.
func say(format string, args ...any) { fmt.Fprintf(os.Stdout, "bench: "+format+"\n", args...) }

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guestbench: this program is the first process of a guest")
		os.Exit(1)
	}
	say("up")
	if err := run(); err != nil {
		say("error %v", err)
	}
	if err := early.PowerOff(); err != nil {
		say("error %v", err)
	}
	select {} // returning would be a panic
}

func run() error {
	if err := early.MountAll(early.Kernel()...); err != nil {
		return err
	}
	if err := early.LoadModules(initramfs.ModuleList, nil); err != nil {
		return err
	}
	if err := silence(); err != nil {
		return err
	}
	say("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if words[0] == "off" {
			return nil
		}
		result, err := command(words[0], words[1:])
		if err != nil {
			say("error %s: %v", lines.Text(), err)
			continue
		}
		say("done %d %d", result.count, result.elapsed.Nanoseconds())
	}
	return lines.Err()
}

// silence keeps the console from echoing what it is told.
func silence() error {
	t, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	t.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(0, unix.TCSETS, t)
}

// result is what was done in which time.
type result struct {
	count   int64
	elapsed time.Duration
}

func command(name string, args []string) (result, error) {
	switch {
	case name == "cpuid" && len(args) == 1:
		n, err := strconv.Atoi(args[0])
		return leave(n), err
	case name == "disk" && len(args) == 6:
		j, err := parseJob(args)
		if err != nil {
			return result{}, err
		}
		return j.run()
	case name == "address" && len(args) == 2:
		return result{}, setAddress(args[0], args[1])
	case name == "tcp" && len(args) == 3:
		d, err := milliseconds(args[2])
		if err != nil {
			return result{}, err
		}
		return transfer(args[0], args[1], d)
	}
	return result{}, errors.New("no such command")
}

func milliseconds(text string) (time.Duration, error) {
	n, err := strconv.Atoi(text)
	return time.Duration(n) * time.Millisecond, err
}

// cpuid is the instruction, which a hypervisor always takes and the kernel's
// part of it answers.
func cpuid()

func leave(n int) result {
	start := time.Now()
	for range n {
		cpuid()
	}
	return result{int64(n), time.Since(start)}
}
