package tiny

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/socket"
	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

// experimental is the EtherType of the kernel's frames (IEEE 802, local
// experimental 1), in network byte order as a number of the host.
var experimental = binary.NativeEndian.Uint16([]byte{0x88, 0xb5})

// echo makes a tap whose host end sends the frames of the kernel back to who
// sent them, and returns its name.
func echo(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes taps")
	}
	name := fmt.Sprintf("tiny%d", os.Getpid()%1_000_000)
	tap := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_VNET_HDR | netlink.TUNTAP_NO_PI,
	}
	must(t, netlink.LinkAdd(tap))
	t.Cleanup(func() { must(t, netlink.LinkDel(tap)) })
	must(t, netlink.LinkSetUp(tap))
	link, err := netlink.LinkByName(name)
	must(t, err)

	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(experimental))
	must(t, err)
	wire := os.NewFile(uintptr(fd), "packet socket of "+name) // nonblocking, so that Close ends a Read
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: experimental, Ifindex: link.Attrs().Index}))
	done := make(chan struct{})
	go func() {
		defer close(done)
		frame := make([]byte, 2048)
		for {
			n, err := wire.Read(frame)
			switch {
			case errors.Is(err, unix.ENETDOWN):
				continue // the machine that had the tap has ended
			case err != nil:
				return
			case n < 14:
				continue
			}
			copy(frame[0:6], frame[6:12])
			copy(frame[6:12], []byte{2, 0, 0, 0, 0, 1})
			if _, err := wire.Write(frame[:n]); err != nil && !errors.Is(err, unix.ENETDOWN) {
				return
			}
		}
	}()
	t.Cleanup(func() { wire.Close(); <-done })
	return name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The kernel's frames come back through our network interface as through
// QEMU's, and the control queue answers alike.
func TestVirtioNetwork(t *testing.T) {
	kernel := images(t).Kernel
	tap := echo(t)
	const mac = "52:54:00:12:34:56"
	devices := fmt.Sprintf(`<interface type='ethernet'><mac address='%s'/><script path=''/><target dev='%s' managed='no'/>
  <model type='virtio'/><driver name='qemu'/>%s</interface>`, mac, tap, pciAddress(3))
	args := []string{
		"-netdev", "tap,id=n0,script=no,downscript=no,vhost=off,ifname=" + tap,
		"-device", "virtio-net-pci,netdev=n0,addr=3,mac=" + mac,
	}
	for _, c := range []string{"virtio=modern irq=msix", "virtio=modern irq=intx", "virtio=legacy irq=msix", "virtio=legacy irq=intx"} {
		t.Run(c, func(t *testing.T) {
			cmdline := "test=virtio-pci,virtio-net " + c
			exit, output := run(t, kernel, Options{PVH: true, Cmdline: cmdline, Devices: devices})
			ours := report(t, output)
			if err := ours.Err(); err != nil {
				t.Error(err)
			}
			if exit.Cause != vmm.CauseDebugExit {
				t.Errorf("ended by %v", exit)
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			theirs, err := guest.RunQEMU(ctx, kernel, guest.QEMUOptions{PVH: true, Cmdline: cmdline, Args: args})
			must(t, err)
			if err := theirs.Report.Err(); err != nil {
				t.Errorf("QEMU: %v", err)
			}
			for _, d := range guest.Compare(theirs.Report, ours, networkExceptions...) {
				t.Errorf("against QEMU: %s", d)
			}
		})
	}
}

// answering sends the frames of the kernel back from a host end of ours.
func answering[B hostnet.Backend](t *testing.T, b B, err error) {
	t.Helper()
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		q, frame := b.Queue(0), make([]byte, 2048)
		for {
			n, _, err := q.Receive([][]byte{frame})
			switch {
			case errors.Is(err, hostnet.ErrAgain):
				if _, err := q.Wait(hostnet.ToReceive, nil); err != nil {
					return
				}
				continue
			case err != nil:
				return
			}
			ether := frame[hostnet.HeaderSize:]
			copy(ether[0:6], ether[6:12])
			copy(ether[6:12], []byte{2, 0, 0, 0, 0, 1})
			if err := q.Send([][]byte{frame[:n]}); err != nil && !errors.Is(err, hostnet.ErrAgain) {
				return
			}
		}
	}()
	t.Cleanup(func() { must(t, b.Close()); <-done })
}

// The kernel's frames come back through sockets, from the other end of which
// they are sent back.
func TestVirtioNetworkSockets(t *testing.T) {
	kernel := images(t).Kernel
	const here = "127.0.0.1"
	for _, kind := range []string{"server", "client"} {
		t.Run(kind, func(t *testing.T) {
			l, err := net.Listen("tcp", net.JoinHostPort(here, "0"))
			must(t, err)
			port := uint16(l.Addr().(*net.TCPAddr).Port)
			must(t, l.Close())
			peer := socket.Options{Address: here, Port: port}
			if kind == "server" {
				c, err := socket.NewClient(peer)
				answering(t, c, err)
			} else {
				s, err := socket.NewServer(peer)
				answering(t, s, err)
			}
			devices := fmt.Sprintf("<interface type='%s'><mac address='52:54:00:12:34:56'/><source address='%s' port='%d'/><model type='virtio'/>%s</interface>",
				kind, here, port, pciAddress(3))
			exit, output := run(t, kernel, Options{PVH: true, Cmdline: "test=virtio-pci,virtio-net virtio=modern irq=msix", Devices: devices})
			if err := report(t, output).Err(); err != nil {
				t.Error(err)
			}
			if exit.Cause != vmm.CauseDebugExit {
				t.Errorf("ended by %v", exit)
			}
		})
	}
}

// networkExceptions are the answers in which our interface is meant to differ.
var networkExceptions = []string{
	// QEMU's configuration ends where its features do, and BAR 0 with it; ours
	// has room for all fields.
	"virtio-pci net-bar",
	// We offer segmentation of UDP, which came after QEMU 7.2; QEMU offers legacy
	// drivers the old GSO, which VIRTIO_NET_F_HOST_TSO and the like replaced.
	"virtio-pci net-features", "virtio-pci net-legacy-features",
}
