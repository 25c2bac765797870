package user

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// Limits of DNS queries over UDP. Those over TCP are connections.
const (
	maxQueries   = 128 // on their way
	queryTimeout = 3 * time.Second
	maxReply     = 4096 // bytes, over UDP
)

// serveDNS answers queries at the name server's address.
func (w *world) serveDNS() error {
	at := full(netip.AddrPortFrom(dns, dnsPort))
	c, err := gonet.DialUDP(w.stack, &at, nil, ipv4Number)
	if err != nil {
		return err
	}
	w.spawn(func() {
		defer w.until(c)()
		buf := make([]byte, maxReply)
		for {
			n, from, err := c.ReadFrom(buf)
			if w.ctx.Err() != nil {
				return
			}
			if err != nil || !w.dns.take() {
				continue // the guest asks again
			}
			query := append([]byte(nil), buf[:n]...)
			if !w.spawn(func() {
				defer w.dns.give()
				if reply := w.resolve(query); len(reply) > 0 {
					_, _ = c.WriteTo(reply, from) // or it is lost
				}
			}) {
				return
			}
		}
	})
	return nil
}

// resolve asks the host's name servers one after the other, until one answers.
func (w *world) resolve(query []byte) []byte {
	for _, server := range w.names.get() {
		reply, err := w.ask(server, query)
		if err == nil {
			return reply
		}
		w.log.Debug("a name server does not answer", "server", server, "error", err)
		if w.ctx.Err() != nil {
			return nil
		}
	}
	return unanswered(query)
}

func (w *world) ask(server netip.AddrPort, query []byte) ([]byte, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(server))
	if err != nil {
		return nil, err
	}
	defer w.until(c)()
	if err := c.SetDeadline(time.Now().Add(queryTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(query); err != nil {
		return nil, err
	}
	reply := make([]byte, maxReply)
	for {
		n, err := c.Read(reply)
		if err != nil {
			return nil, err
		}
		if n >= 2 && len(query) >= 2 && reply[0] == query[0] && reply[1] == query[1] {
			return reply[:n], nil
		}
	}
}

// dialDNS connects to the first name server that lets it.
func (w *world) dialDNS(ctx context.Context) (net.Conn, error) {
	err := errors.New("the host has no name server")
	for _, server := range w.names.get() {
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", server.String()); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// resolvers are the host's name servers.
type resolvers struct {
	fixed []netip.AddrPort
	file  string

	mu      sync.Mutex
	changed time.Time // of the file as read
	servers []netip.AddrPort
}

// get returns the name servers, of the file as it is now.
func (r *resolvers) get() []netip.AddrPort {
	if r.fixed != nil {
		return r.fixed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.Open(r.file)
	if err != nil {
		return r.servers
	}
	defer f.Close()
	if s, err := f.Stat(); err == nil && !s.ModTime().Equal(r.changed) {
		r.changed, r.servers = s.ModTime(), parseResolvers(bufio.NewScanner(f))
	}
	return r.servers
}

// parseResolvers reads the lines "nameserver ADDRESS" of a resolv.conf(5).
func parseResolvers(lines *bufio.Scanner) (servers []netip.AddrPort) {
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(a, dnsPort))
		}
	}
	return servers
}

// unanswered is the reply to a DNS query that no name server answers: the query
// itself with QR set and the code SERVFAIL (RFC 1035, section 4.1.1).
func unanswered(query []byte) []byte {
	if len(query) < 12 {
		return nil
	}
	reply := append([]byte(nil), query...)
	const response, recursion, serverFailure = 1 << 15, 1 << 7, 2
	flags := binary.BigEndian.Uint16(reply[2:])
	binary.BigEndian.PutUint16(reply[2:], flags&^0xF|response|recursion|serverFailure)
	return reply
}
