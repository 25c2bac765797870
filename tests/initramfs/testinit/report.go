package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/govmm/govmm/tests/initramfs/early"
	"golang.org/x/sys/unix"
)

// report prints one kind of fact.
type report struct {
	name   string
	report func() error
}

// reports, in the order they are printed:
//
//	release RELEASE
//	cmdline WORDS
//	cpus 0-1                            the processors online
//	memtotal KIB
//	clocksource NAME
//	pci 0000:00:01.1 8086:7010 010180 DRIVER|-
//	block NAME BYTES rw|ro
//	net NAME MAC
//	irq NUMBER COUNT,COUNT... REST      a column of /proc/interrupts for each CPU
//	dmesg LEVEL TEXT                    kernel messages of levels 0 (emergency) to 4 (warning)
func reports() []report {
	return []report{
		{"release", reportRelease},
		{"cmdline", file("cmdline", "/proc/cmdline")},
		{"cpus", file("cpus", "/sys/devices/system/cpu/online")},
		{"memtotal", reportMemory},
		{"clocksource", file("clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource")},
		{"pci", reportPCI},
		{"block", reportBlock},
		{"net", reportNet},
		{"irq", reportInterrupts},
		{"dmesg", reportMessages},
	}
}

// file reports the contents of a file.
func file(key, name string) func() error {
	return func() error {
		text, err := early.Text(name)
		if err != nil {
			return err
		}
		say("%s %s", key, text)
		return nil
	}
}

func reportRelease() error {
	release, err := early.Release()
	if err != nil {
		return err
	}
	say("release %s", release)
	return nil
}

func reportMemory() error {
	kib, err := early.MemTotal()
	if err != nil {
		return err
	}
	say("memtotal %d", kib)
	return nil
}

// entries are the directories of a class in sysfs, sorted.
func entries(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // no bus or class of the kind
	}
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(list))
	for i, entry := range list {
		paths[i] = filepath.Join(dir, entry.Name())
	}
	return paths, nil
}

func reportPCI() error {
	devices, err := entries("/sys/bus/pci/devices")
	for _, dev := range devices {
		var id [3]string
		for i, name := range []string{"vendor", "device", "class"} {
			text, err := early.Text(filepath.Join(dev, name))
			if err != nil {
				return err
			}
			id[i] = strings.TrimPrefix(text, "0x")
		}
		driver, err := os.Readlink(filepath.Join(dev, "driver"))
		if err != nil {
			driver = "-"
		}
		say("pci %s %s:%s %s %s", filepath.Base(dev), id[0], id[1], id[2], filepath.Base(driver))
	}
	return err
}

func reportBlock() error {
	disks, err := entries("/sys/class/block")
	for _, disk := range disks {
		text, err := early.Text(filepath.Join(disk, "size"))
		if err != nil {
			return err
		}
		sectors, err := strconv.ParseUint(text, 10, 54)
		if err != nil {
			return err
		}
		// A partition has no attribute of its own here.
		mode := "rw"
		if ro, err := early.Text(filepath.Join(disk, "ro")); err == nil && ro == "1" {
			mode = "ro"
		}
		say("block %s %d %s", filepath.Base(disk), sectors*512, mode)
	}
	return err
}

func reportNet() error {
	interfaces, err := entries("/sys/class/net")
	for _, dir := range interfaces {
		mac, err := early.Text(filepath.Join(dir, "address"))
		if err != nil {
			return err
		}
		say("net %s %s", filepath.Base(dir), mac)
	}
	return err
}

// reportInterrupts prints the lines of /proc/interrupts, whose first line has
// a word for each processor.
func reportInterrupts() error {
	text, err := os.ReadFile("/proc/interrupts")
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	cpus := len(strings.Fields(lines[0]))
	for _, line := range lines[1:] {
		words := strings.Fields(line)
		if len(words) < 1+cpus {
			continue // ERR and MIS have one count, which is not a processor's
		}
		say("irq %s %s %s", strings.TrimSuffix(words[0], ":"),
			strings.Join(words[1:1+cpus], ","), strings.Join(words[1+cpus:], " "))
	}
	return nil
}

// reportMessages prints the kernel's warnings and worse. A record of
// /dev/kmsg is "PRIORITY,SEQUENCE,TIME,FLAGS[,...];TEXT\n" and lines of
// KEY=VALUE (Linux, Documentation/ABI/testing/dev-kmsg).
func reportMessages() error {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	const warning = 4
	record := make([]byte, 8192)
	for {
		n, err := unix.Read(fd, record)
		switch err {
		case nil:
		case unix.EAGAIN: // that was the last
			return nil
		case unix.EPIPE: // some were overwritten before we came to them
			continue
		default:
			return err
		}
		level, text, ok := parseMessage(string(record[:n]))
		if ok && level <= warning {
			say("dmesg %d %s", level, text)
		}
	}
}

// parseMessage gives the level and text of a kernel's record; a record that
// was written by a program is not ok.
func parseMessage(record string) (level int, text string, ok bool) {
	head, rest, found := strings.Cut(record, ";")
	first, _, _ := strings.Cut(head, ",")
	priority, err := strconv.Atoi(first)
	if !found || err != nil || priority>>3 != 0 {
		return 0, "", false
	}
	text, _, _ = strings.Cut(rest, "\n")
	return priority & 7, text, true
}
