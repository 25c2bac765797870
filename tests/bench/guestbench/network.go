package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/bench/wire"
)

// setAddress gives an interface an IPv4 address and brings it up.
func setAddress(name, text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-prefix.Bits()))
	for _, set := range []struct {
		request uint
		address []byte
	}{{unix.SIOCSIFADDR, prefix.Addr().AsSlice()}, {unix.SIOCSIFNETMASK, mask}} {
		ifr, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		if err := ifr.SetInet4Addr(set.address); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, ifr); err != nil {
			return fmt.Errorf("%s: address: %w", name, err)
		}
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// transfer does one of the things that package wire has for a time.
func transfer(address, what string, d time.Duration) (result, error) {
	s, err := dial(address)
	if err != nil {
		return result{}, err
	}
	defer unix.Close(int(s))
	switch what {
	case "send":
		return send(s, d)
	case "receive":
		return receive(s, d)
	case "echo":
		return echo(s, d)
	}
	return result{}, errors.New("no such transfer")
}

func dial(text string) (wire.Socket, error) {
	address, err := netip.ParseAddrPort(text)
	if err != nil {
		return 0, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	to := &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil {
		unix.Close(fd)
		return 0, fmt.Errorf("connect to %v: %w", address, err)
	}
	return wire.Socket(fd), nil
}

// send counts what has arrived, not what the kernel has taken.
func send(s wire.Socket, d time.Duration) (result, error) {
	if _, err := s.Write([]byte{wire.Send}); err != nil {
		return result{}, err
	}
	buffer := make([]byte, wire.Chunk)
	start := time.Now()
	for time.Since(start) < d {
		if _, err := s.Write(buffer); err != nil {
			return result{}, err
		}
	}
	if err := unix.Shutdown(int(s), unix.SHUT_WR); err != nil {
		return result{}, err
	}
	var count [8]byte
	if _, err := io.ReadFull(s, count[:]); err != nil {
		return result{}, err
	}
	return result{int64(binary.LittleEndian.Uint64(count[:])), time.Since(start)}, nil
}

func receive(s wire.Socket, d time.Duration) (result, error) {
	if _, err := s.Write([]byte{wire.Receive}); err != nil {
		return result{}, err
	}
	buffer := make([]byte, wire.Chunk)
	total, start := int64(0), time.Now()
	for {
		n, err := s.Read(buffer)
		if err != nil {
			return result{}, err
		}
		total += int64(n)
		if elapsed := time.Since(start); elapsed >= d {
			return result{total, elapsed}, nil
		}
	}
}

func echo(s wire.Socket, d time.Duration) (result, error) {
	if _, err := s.Write([]byte{wire.Echo}); err != nil {
		return result{}, err
	}
	var one [1]byte
	count, start := int64(0), time.Now()
	for {
		if _, err := s.Write(one[:]); err != nil {
			return result{}, err
		}
		if _, err := s.Read(one[:]); err != nil {
			return result{}, err
		}
		count++
		if elapsed := time.Since(start); elapsed >= d {
			return result{count, elapsed}, nil
		}
	}
}
