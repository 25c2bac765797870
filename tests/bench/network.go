package main

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/bench/wire"
)

// link is the network between a guest and its host: 10.9.N.0/24, the host
// having .1.
type link struct {
	number int
	tap    string
}

func (l link) host() string  { return fmt.Sprintf("10.9.%d.1", l.number) }
func (l link) guest() string { return fmt.Sprintf("10.9.%d.2", l.number) }
func (l link) nic(vhost bool) *nic {
	return &nic{tap: l.tap, mac: fmt.Sprintf("52:54:00:00:09:%02x", l.number), vhost: vhost}
}

// up gives the tap, which the VMM has made, its address.
func (l link) up() error {
	tap, err := netlink.LinkByName(l.tap)
	if err != nil {
		return fmt.Errorf("%s: %w", l.tap, err)
	}
	address, err := netlink.ParseAddr(l.host() + "/24")
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(tap, address); err != nil {
		return fmt.Errorf("%s: %w", l.tap, err)
	}
	return netlink.LinkSetUp(tap)
}

// measureNetwork measures TCP between a guest and this process.
func measureNetwork(s *session, vhost bool) error {
	port, closeListener, err := listen(s)
	if err != nil {
		return err
	}
	defer closeListener()
	links := map[vmm]link{}
	for i, v := range s.group.vmms {
		links[v] = link{i + 1, fmt.Sprintf("bench%d", i+1)}
	}
	machines := func(v vmm) machine {
		return machine{memory: guestMemory, kernel: s.assets.Kernel, initrd: s.assets.Drivers, cmdline: cmdline,
			nic: links[v].nic(vhost)}
	}
	set := func(p *process) error {
		l := links[p.vmm]
		if err := l.up(); err != nil {
			return err
		}
		_, _, err := p.ask(s.ctx, "address eth0 %s/24", l.guest())
		return err
	}
	return s.together(machines, set, func(p *process, counts bool) error {
		for _, what := range []string{"send", "receive", "echo"} {
			if !s.wants(what) {
				continue
			}
			var count, ns float64
			exit, err := p.around(s.ctx, func() error {
				finish, err := s.profile(p, what, counts)
				if err != nil {
					return err
				}
				count, ns, err = p.measure(s.ctx, "tcp %s:%d %s %d", links[p.vmm].host(), port, what, s.settings.Load.Milliseconds())
				return errors.Join(err, finish())
			})
			if err != nil {
				return err
			}
			if !counts {
				continue
			}
			value := count / ns * 1e3 // bytes in ns, as MB/s
			if what == "echo" {
				value = ns / count / 1e3
			}
			s.record(what, p.vmm, value, exit)
		}
		return nil
	})
}

// listen serves guests on all addresses, and returns the port.
func listen(s *session) (port int, stop func(), err error) {
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		return 0, nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go func() {
				if err := serve(c.(*net.TCPConn)); err != nil && !strings.Contains(err.Error(), "reset") {
					s.log("the guest's connection: %v", err)
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, func() { l.Close() }, nil
}

// serve speaks with a guest on a descriptor that blocks.
func serve(c *net.TCPConn) error {
	f, err := c.File() // has TCP_NODELAY, which is Go's default
	c.Close()
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	if err := unix.SetNonblock(fd, false); err != nil {
		return err
	}
	return wire.Serve(wire.Socket(fd))
}
