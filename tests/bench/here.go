package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/govmm/govmm/tests/guest"
)

// tinyLoad is what the tiny kernel does with a disk or a network interface.
type tinyLoad struct {
	name, title string
	options     string // of disk-bench and net-bench, without n
	count       int    // requests in a second, about
	unit        string
	figure      func(ns float64) float64 // of a request, in the unit
}

func perSecond(ns float64) float64 { return 1e9 / ns }

// bandwidth is a figure in MB/s of requests of a size in bytes.
func bandwidth(bytes float64) func(float64) float64 {
	return func(ns float64) float64 { return bytes / ns * 1e3 }
}

func tinyDiskLoads() []tinyLoad {
	const mib = 1 << 20
	return []tinyLoad{
		{"read-1", "4 KiB random reads, one at a time", "op=read order=random size=4096 depth=1", 3000, "IOPS", perSecond},
		{"read-32", "4 KiB random reads, 32 at a time", "op=read order=random size=4096 depth=32", 15000, "IOPS", perSecond},
		{"write-1", "4 KiB random writes, one at a time", "op=write order=random size=4096 depth=1", 3000, "IOPS", perSecond},
		{"write-32", "4 KiB random writes, 32 at a time", "op=write order=random size=4096 depth=32", 15000, "IOPS", perSecond},
		{"stream-read", "1 MiB sequential reads", "op=read order=linear size=1048576 depth=1", 600, "MB/s", bandwidth(mib)},
		{"stream-write", "1 MiB sequential writes", "op=write order=linear size=1048576 depth=1", 600, "MB/s", bandwidth(mib)},
	}
}

func tinyNetworkLoads() []tinyLoad {
	const frame = 1514
	return []tinyLoad{
		{"send", "frames from the guest", "op=send size=1514", 20000, "MB/s", bandwidth(frame)},
		{"receive", "frames to the guest", "op=receive size=1514", 20000, "MB/s", bandwidth(frame)},
		{"echo", "a frame there and back", "op=echo size=1514", 3000, "us", func(ns float64) float64 { return ns / 1e3 }},
	}
}

// tinyMachine boots the tiny kernel for one load.
func (s *session) tinyMachine(test string, l tinyLoad) machine {
	n := max(64, int(float64(l.count)*s.settings.Load.Seconds()))
	return machine{memory: tinyMemory, kernel: s.assets.Tiny, tiny: true, here: s.group.place == placeHere,
		cmdline: fmt.Sprintf("test=%s virtio=modern irq=msix n=%d %s", test, n, l.options)}
}

// measureTiny measures each load with new machines, of which prepare gives one.
func (s *session) measureTiny(test string, loads []tinyLoad, prepare func(vmm, *machine) (stop func() error, err error)) error {
	for _, l := range loads {
		if !s.wants(l.name) {
			continue
		}
		err := s.turns(s.repeat(), func(v vmm, counts bool) (err error) {
			m := s.tinyMachine(test, l)
			stop, err := prepare(v, &m)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, stop()) }()
			report, err := s.runReport(v, m, l.name, counts)
			if err != nil {
				return err
			}
			ns, err := nanoseconds(report, test, "ns-each")
			if err == nil && counts {
				s.record(l.name, v, l.figure(ns), 0)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// nanoseconds reads a figure of the tiny kernel's: a whole number, and not 0.
func nanoseconds(report *guest.Report, test, name string) (float64, error) {
	result, ok := report.Lookup(test, name)
	n, err := strconv.ParseUint(result.Detail, 10, 63)
	if !ok || err != nil || n == 0 {
		return 0, fmt.Errorf("%s: %s is %q, which is no figure", test, name, result.Detail)
	}
	return float64(n), nil
}

// measureTinyDisk measures a cache and io mode with the tiny kernel, on a file of
// the file system that temporary files are on.
func measureTinyDisk(s *session, mode diskMode) error {
	images := map[vmm]string{}
	for i, v := range s.group.vmms {
		images[v] = filepath.Join(s.dir, fmt.Sprintf("disk%d.img", i))
		if err := fill(images[v], diskSize); err != nil {
			return err
		}
	}
	return s.measureTiny("disk-bench", tinyDiskLoads(), func(v vmm, m *machine) (func() error, error) {
		m.disk = &disk{images[v], mode}
		return func() error { return nil }, nil
	})
}

// measureTinyNetwork measures frames between the tiny kernel and a tap.
func measureTinyNetwork(s *session) error {
	return s.measureTiny("net-bench", tinyNetworkLoads(), func(v vmm, m *machine) (func() error, error) {
		wire, err := openFrames("benchtiny", strings.Contains(m.cmdline, "op=receive"), 10*time.Second)
		if err != nil {
			return nil, err
		}
		m.nic = &nic{tap: wire.tap, mac: "52:54:00:00:09:09", exists: true}
		return wire.close, nil
	})
}
