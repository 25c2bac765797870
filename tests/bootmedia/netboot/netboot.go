// Package netboot is what a PC that boots from the network needs on the other
// side: a DHCP server (RFC 2131, with the boot options of RFC 2132) that gives
// every client one address and names a file, and a read-only TFTP server
// (RFC 1350, with the options of RFC 2347 to 2349) that has it. They serve one
// interface, such as the tap of a machine, for a test. To who asks for
// an IPv6 router it says that there is none. There is no proxy DHCP, no lease
// database, no DNS and no routing.
package netboot

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/server4"
)

// Options of a server.
type Options struct {
	Interface string       // to serve
	Address   netip.Prefix // of the interface, IPv4: the server and the network
	Client    netip.Addr   // what the client is given
	Root      string       // directory of the files
	BootFile  string       // the file that DHCP names
	Log       *slog.Logger // default: none
}

// Server is a running server.
type Server struct {
	o      Options
	dhcp   *net.UDPConn
	router *net.IPConn // nil without IPv6
	tftp   *tftpServer
	done   sync.WaitGroup

	mu   sync.Mutex
	acks int
}

// Listen starts a server. It takes root's privileges: the ports are 67 and 69.
func Listen(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !o.Address.IsValid() || !o.Address.Addr().Is4() || !o.Client.Is4() || !o.Address.Contains(o.Client) {
		return nil, fmt.Errorf("netboot: the client's address %v is not in the network of %v", o.Client, o.Address)
	}
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, fmt.Errorf("netboot: %w", err)
	}
	dhcp, err := server4.NewIPv4UDPConn(o.Interface, &net.UDPAddr{IP: net.IPv4zero, Port: dhcpServerPort})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netboot: DHCP on %s: %w", o.Interface, err), root.Close())
	}
	files, err := listenTFTP(o.Address.Addr(), tftpPort, o.Interface)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("netboot: TFTP: %w", err), dhcp.Close(), root.Close())
	}
	s := &Server{o: o, dhcp: dhcp, tftp: newTFTP(files, o.Interface, root, o.Log, retransmit)}
	s.done.Go(s.serveDHCP)
	s.done.Go(s.tftp.serve)
	if s.router, err = listenRouter(o.Interface); err == nil {
		s.done.Go(s.serveRouter)
	} else {
		o.Log.Warn("no IPv6 here; clients that look for a router wait some time for one", "error", err)
	}
	return s, nil
}

// retransmit is the time after which TFTP sends a packet again.
const retransmit = 2 * time.Second

// Close ends the server and its transfers.
func (s *Server) Close() error {
	err := errors.Join(s.dhcp.Close(), s.tftp.close())
	if s.router != nil {
		err = errors.Join(err, s.router.Close())
	}
	s.done.Wait()
	return errors.Join(err, s.tftp.root.Close())
}

// Leases is how many times a client has taken the address.
func (s *Server) Leases() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks
}

// Sent are the names of the files that clients have got whole, in that order.
func (s *Server) Sent() []string {
	s.tftp.mu.Lock()
	defer s.tftp.mu.Unlock()
	return slices.Clone(s.tftp.sent)
}
