package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// diskSize is the size of a guest's disk.
const diskSize = 256 << 20

// diskLoad is what a guest does with its disk. The count it gives, by unit and
// second, is the figure.
type diskLoad struct {
	name, title string
	what        string // as guestbench takes it: read|write random|linear SIZE DEPTH
	unit        string
	bytes       float64 // of a request, in units
}

func diskLoads() []diskLoad {
	const mb = float64(1<<20) / 1e6
	return []diskLoad{
		{"read-1", "4 KiB random reads, one at a time", "read random 4096 1", "IOPS", 1},
		{"read-32", "4 KiB random reads, 32 at a time", "read random 4096 32", "IOPS", 1},
		{"write-1", "4 KiB random writes, one at a time", "write random 4096 1", "IOPS", 1},
		{"write-32", "4 KiB random writes, 32 at a time", "write random 4096 32", "IOPS", 1},
		{"stream-read", "1 MiB sequential reads", "read linear 1048576 1", "MB/s", mb},
		{"stream-write", "1 MiB sequential writes", "write linear 1048576 1", "MB/s", mb},
	}
}

// measureDisk measures the loads on a machine of each VMM.
func measureDisk(s *session, mode diskMode) error {
	dir, unmount, err := mountDisk(s.ctx, s.dir)
	if err != nil {
		return err
	}
	defer unmount()
	images := map[vmm]string{}
	for i, v := range s.group.vmms {
		images[v] = filepath.Join(dir, fmt.Sprintf("%d.img", i))
		if err := fill(images[v], diskSize); err != nil {
			return err
		}
	}
	machines := func(v vmm) machine {
		return machine{memory: guestMemory, kernel: s.assets.Kernel, initrd: s.assets.Drivers, cmdline: cmdline,
			disk: &disk{images[v], mode}}
	}
	return s.together(machines, nil, func(p *process, counts bool) error {
		for _, l := range diskLoads() {
			if !s.wants(l.name) {
				continue
			}
			var count, ns float64
			exit, err := p.around(s.ctx, func() error {
				finish, err := s.profile(p, l.name, counts)
				if err != nil {
					return err
				}
				count, ns, err = p.measure(s.ctx, "disk /dev/vda %s %d", l.what, s.settings.Load.Milliseconds())
				return errors.Join(err, finish())
			})
			if err != nil {
				return err
			}
			if counts {
				s.record(l.name, p.vmm, count*l.bytes/ns*1e9, exit)
			}
		}
		return nil
	})
}

// together starts a machine of each VMM and measures them in turn while the
// others are frozen. The first round does not count. Before it, set is called
// with each machine. All that is repeated with new machines.
func (s *session) together(machines func(vmm) machine, set func(*process) error, measure func(*process, bool) error) error {
	for range s.settings.Boots {
		if err := s.boot(machines, set, measure); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) boot(machines func(vmm) machine, set func(*process) error, measure func(*process, bool) error) error {
	running := map[vmm]*process{}
	for _, v := range s.group.vmms {
		if s.lost[v] {
			continue
		}
		p, err := s.start(v, machines(v))
		if err != nil {
			return err
		}
		defer p.stop()
		running[v] = p
		if err := s.makeReady(p, set); err != nil {
			p.stop()
			s.lost[v] = true
			s.fail(err)
		}
	}
	return s.turns(s.settings.Rounds, func(v vmm, counts bool) error {
		p := running[v]
		if err := p.thaw(); err != nil {
			return err
		}
		if err := measure(p, counts); err != nil {
			p.stop() // it would disturb the others
			s.lost[v] = true
			return err
		}
		return p.freeze()
	})
}

// makeReady waits for a machine's guest, sets it up and freezes it.
func (s *session) makeReady(p *process, set func(*process) error) error {
	if _, _, err := p.await(s.ctx, "bench: ready"); err != nil {
		return err
	}
	if set != nil {
		if err := set(p); err != nil {
			return err
		}
	}
	return p.freeze()
}

// mountDisk makes an ext4 on a loop device: what is in memory alone does not
// take O_DIRECT.
func mountDisk(ctx context.Context, dir string) (string, func(), error) {
	backing, point := filepath.Join(dir, "ext4"), filepath.Join(dir, "disks")
	f, err := os.Create(backing)
	if err != nil {
		return "", nil, err
	}
	f.Close()
	remove := func() { os.Remove(backing) }
	if err := fill(backing, 3*diskSize); err != nil {
		remove()
		return "", nil, err
	}
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-O", "^has_journal", backing},
		{"mkdir", "-p", point},
		{"mount", "-o", "loop", backing, point},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			remove()
			return "", nil, fmt.Errorf("%s (packages e2fsprogs, mount): %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return point, func() {
		_ = unix.Unmount(point, unix.MNT_DETACH) // the machine is thrown away
		remove()
	}, nil
}

// fill writes a file of some bytes that are not zero.
func fill(name string, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i*5 + i>>8)
	}
	for done := 0; done < size; done += len(block) {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return f.Sync()
}
