package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netTime is how long a connection or a reply may take.
const netTime = time.Minute

func setAddress(w *words) (string, error) {
	name, text := w.text(), w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	address, err := netlink.ParseAddr(text)
	if err != nil {
		return "", err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return "", errors.Join(netlink.AddrAdd(link, address), netlink.LinkSetUp(link))
}

func ping(w *words) (string, error) {
	address, count, length := w.text(), w.number(), w.number()
	if err := w.end(); err != nil {
		return "", err
	}
	return "", traffic.Ping(address, int(count), int(length), netTime)
}

// reachTime is how long an address is waited for that may well not answer.
const reachTime = 4 * time.Second

func reaches(w *words) (string, error) {
	address := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	if traffic.Ping(address, 1, 56, reachTime) != nil {
		return "no", nil
	}
	return "yes", nil
}

// exchange makes TCP connections, all at once, on each of which it sends the
// stream of a seed and receives that of the next seed.
func exchange(w *words) (string, error) {
	address, connections, length, seed := w.text(), w.number(), w.number(), w.number()
	if err := w.end(); err != nil {
		return "", err
	}
	errs := make([]error, connections)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			conn, err := net.DialTimeout("tcp", address, netTime)
			if err != nil {
				errs[i] = err
				return
			}
			errs[i] = errors.Join(traffic.Exchange(conn, length, seed, seed+1), conn.Close())
		})
	}
	all.Wait()
	return "", errors.Join(errs...)
}

// offloads asks as ethtool does (Linux, include/uapi/linux/ethtool.h): SIOCETHTOOL
// with a struct ifreq whose data is a pointer to a struct ethtool_value.
func offloads(w *words) (string, error) {
	name := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var on []string
	for _, feature := range []struct {
		name    string
		command uint32
	}{
		{"rx-checksum", unix.ETHTOOL_GRXCSUM},
		{"tx-checksum", unix.ETHTOOL_GTXCSUM},
		{"scatter-gather", unix.ETHTOOL_GSG},
		{"tso", unix.ETHTOOL_GTSO},
		{"gso", unix.ETHTOOL_GGSO},
		{"gro", unix.ETHTOOL_GGRO},
	} {
		value := struct{ command, data uint32 }{command: feature.command}
		var request struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte // the rest of the union
		}
		copy(request.name[:unix.IFNAMSIZ-1], name)
		request.data = unsafe.Pointer(&value)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
			return "", fmt.Errorf("%s: %s: %w", name, feature.name, errno)
		}
		if value.data != 0 {
			on = append(on, feature.name)
		}
	}
	return strings.Join(on, " "), nil
}
