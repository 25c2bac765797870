package netboot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listenTFTP is the socket for requests that come by an interface.
func listenTFTP(address netip.Addr, port uint16, device string) (*net.UDPConn, error) {
	config := net.ListenConfig{Control: bindTo(device)}
	packets, err := config.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(address, port).String())
	if err != nil {
		return nil, err
	}
	conn, ok := packets.(*net.UDPConn)
	if !ok {
		packets.Close()
		return nil, fmt.Errorf("a socket of type %T", packets)
	}
	return conn, nil
}

// bindTo keeps a socket to an interface, also where another one has the same
// network.
func bindTo(device string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var bindErr error
		err := c.Control(func(fd uintptr) { bindErr = unix.BindToDevice(int(fd), device) })
		return errors.Join(err, bindErr)
	}
}

const (
	tftpPort      = 69
	tftpTries     = 6  // a packet is sent so often
	tftpTransfers = 16 // at a time; more requests are not answered
)

// tftpServer sends the files of a directory.
type tftpServer struct {
	conn    *net.UDPConn
	device  string // the interface of all sockets
	root    *os.Root
	log     *slog.Logger
	timeout time.Duration // until a packet is sent again

	running sync.WaitGroup
	free    chan struct{} // holds a token for each transfer that runs

	mu        sync.Mutex
	closed    bool
	transfers map[*net.UDPConn]bool
	sent      []string
}

func newTFTP(conn *net.UDPConn, device string, root *os.Root, log *slog.Logger, timeout time.Duration) *tftpServer {
	return &tftpServer{
		conn: conn, device: device, root: root, log: log, timeout: timeout,
		free: make(chan struct{}, tftpTransfers), transfers: map[*net.UDPConn]bool{},
	}
}

// serve answers requests until close. It returns when all transfers have ended.
func (s *tftpServer) serve() {
	defer s.running.Wait()
	buffer := make([]byte, 1500)
	for {
		n, peer, err := s.conn.ReadFromUDP(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.Debug("TFTP", "error", err)
			continue
		}
		r, err := parseRequest(buffer[:n])
		select {
		case s.free <- struct{}{}:
		default:
			s.log.Warn("TFTP: too many transfers", "client", peer)
			continue
		}
		s.running.Go(func() {
			defer func() { <-s.free }()
			if err := s.answer(peer, r, err); err != nil {
				s.log.Info("TFTP", "client", peer, "file", r.file, "error", err)
			}
		})
	}
}

// close makes serve and all transfers end.
func (s *tftpServer) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.transfers {
		c.Close() // what waits there ends
	}
	return s.conn.Close()
}

// answer sends what a client has asked for, from a port of its own.
func (s *tftpServer) answer(peer *net.UDPAddr, r request, problem error) error {
	local, ok := s.conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return fmt.Errorf("local address %v", s.conn.LocalAddr())
	}
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: local.IP}, Control: bindTo(s.device)}
	dialed, err := dialer.Dial("udp4", peer.String()) // and hears nobody else
	if err != nil {
		return err
	}
	conn, ok := dialed.(*net.UDPConn)
	if !ok {
		dialed.Close()
		return fmt.Errorf("a connection of type %T", dialed)
	}
	defer conn.Close()
	if !s.enter(conn) {
		return net.ErrClosed
	}
	defer s.leave(conn)
	t := transfer{conn: conn, timeout: s.timeout, blockSize: defaultBlockSize}
	if problem != nil {
		return t.refuse(problem)
	}
	file, size, err := s.open(r.file)
	if err != nil {
		return t.refuse(err)
	}
	defer file.Close()
	if err := t.send(file, t.accept(r, size)); err != nil {
		return err
	}
	s.log.Debug("TFTP: sent", "client", peer, "file", r.file, "bytes", size)
	s.mu.Lock()
	s.sent = append(s.sent, r.file)
	s.mu.Unlock()
	return nil
}

func (s *tftpServer) enter(c *net.UDPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.transfers[c] = true
	}
	return !s.closed
}

func (s *tftpServer) leave(c *net.UDPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.transfers, c)
}

// open opens a regular file inside the root.
func (s *tftpServer) open(name string) (*os.File, int64, error) {
	name = strings.TrimLeft(name, "/")
	info, err := s.root.Stat(name) // before opening, which can wait for ever for a pipe
	if err == nil && !info.Mode().IsRegular() {
		err = tftpError{errorAccess, "not a file"}
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := s.root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// transfer is the sending of one file.
type transfer struct {
	conn      *net.UDPConn
	timeout   time.Duration
	blockSize int
}

// accept takes the options that we know, and returns the packet that says so,
// or nil where there are none.
func (t *transfer) accept(r request, size int64) []byte {
	var packet []byte
	for _, o := range r.options {
		var value int64
		switch {
		case o.name == "blksize" && o.value >= minBlockSize:
			t.blockSize = int(min(o.value, maxBlockSize))
			value = int64(t.blockSize)
		case o.name == "tsize" && o.value == 0: // what a reader asks
			value = size
		case o.name == "timeout" && o.value >= 1 && o.value <= 255:
			t.timeout = time.Duration(o.value) * time.Second
			value = o.value
		default:
			continue
		}
		if packet == nil {
			packet = binary.BigEndian.AppendUint16(nil, opOACK)
		}
		packet = fmt.Appendf(packet, "%s\x00%d\x00", o.name, value)
	}
	return packet
}

// send sends the file, after the packet of accepted options if there is one.
// The last block is a short one, and empty if need be; numbers start again from
// 0 after 65535.
func (t *transfer) send(file io.Reader, options []byte) error {
	if options != nil {
		if err := t.exchange(options, 0); err != nil {
			return err
		}
	}
	packet := make([]byte, 4+t.blockSize)
	binary.BigEndian.PutUint16(packet, opData)
	for block := uint16(1); ; block++ {
		binary.BigEndian.PutUint16(packet[2:], block)
		n, err := io.ReadFull(file, packet[4:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return t.refuse(err)
		}
		if err := t.exchange(packet[:4+n], block); err != nil {
			return err
		}
		if n < t.blockSize {
			return nil
		}
	}
}

// exchange sends a packet until it is acknowledged. An acknowledgement of an
// earlier one is not answered: both sides would send everything twice from then
// on.
func (t *transfer) exchange(packet []byte, block uint16) error {
	reply := make([]byte, 600)
	for range tftpTries {
		if _, err := t.conn.Write(packet); err != nil {
			return err
		}
		if err := t.conn.SetReadDeadline(time.Now().Add(t.timeout)); err != nil {
			return err
		}
		for {
			n, err := t.conn.Read(reply)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			acknowledged, err := parseReply(reply[:n])
			if err != nil {
				return err
			}
			if acknowledged == block {
				return nil
			}
		}
	}
	return fmt.Errorf("block %d is not acknowledged", block)
}

// refuse sends an error packet, and returns the error.
func (t *transfer) refuse(err error) error {
	e := tftpError{errorUndefined, err.Error()}
	switch {
	case errors.As(err, &e):
	case errors.Is(err, fs.ErrNotExist):
		e = tftpError{errorNotFound, "file not found"}
	case errors.Is(err, fs.ErrPermission):
		e = tftpError{errorAccess, "access violation"}
	}
	packet := binary.BigEndian.AppendUint16(nil, opError)
	packet = binary.BigEndian.AppendUint16(packet, e.code)
	packet = append(append(packet, e.message...), 0)
	_, writeErr := t.conn.Write(packet)
	return errors.Join(err, writeErr)
}
