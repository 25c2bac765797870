package nbd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// DefaultPort is the registered TCP port of NBD.
const DefaultPort = 10809

// Defaults and limits of a client.
const (
	DefaultPatience = 60 * time.Second
	DefaultSilence  = 2 * time.Minute

	// MaxInFlight is how many requests a connection carries at once; more wait
	// for their turn.
	MaxInFlight = 64
)

// Options say where an export is and how it is used.
type Options struct {
	// Network is "tcp" or "unix".
	Network string
	// Address is the host and port of a TCP server, as net.JoinHostPort writes
	// them, or the path of a unix socket.
	Address string
	// Export is the export's name, at most 4096 bytes; "" is the server's default.
	Export string

	// ReadOnly keeps the client from changing the export. One that the server
	// gives for reading alone needs it.
	ReadOnly bool

	// TLS makes the client ask for encryption, and not go on without. Nil is a
	// plain connection. LoadTLS makes one from a directory of certificates.
	TLS *tls.Config

	// Patience is how long requests wait for a connection that was lost; 0 is
	// DefaultPatience.
	Patience time.Duration
	// Silence is how long a server that owes a reply may say nothing before its
	// connection counts as lost; 0 is DefaultSilence.
	Silence time.Duration

	// Log takes what is worth knowing and is no error. Nil discards it.
	Log *slog.Logger
}

// maxName is the longest string of the protocol, in bytes.
const maxName = 4096

// check completes the options.
func (o *Options) check() error {
	switch {
	case o.Network != "tcp" && o.Network != "unix":
		return fmt.Errorf("nbd: %q is not a network; tcp and unix are", o.Network)
	case o.Address == "":
		return errors.New("nbd: the server's address is missing")
	case len(o.Export) > maxName:
		return fmt.Errorf("nbd: the export's name has %d bytes; at most %d are possible", len(o.Export), maxName)
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Silence <= 0 {
		o.Silence = DefaultSilence
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Name is how messages name the export: nbd://host:port/export or
// nbd+unix:///export?socket=path.
func (o *Options) Name() string {
	scheme := "nbd"
	if o.TLS != nil {
		scheme = "nbds"
	}
	if o.Network == "unix" {
		return scheme + "+unix:///" + o.Export + "?socket=" + o.Address
	}
	return scheme + "://" + o.Address + "/" + o.Export
}

// TCPAddress makes an Options.Address; port 0 is DefaultPort.
func TCPAddress(host string, port uint16) string {
	if port == 0 {
		port = DefaultPort
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// LoadTLS reads the certificates of a client from a directory that is laid out
// as libvirt's and QEMU's are:
//
//	ca-cert.pem      the authorities that the server's certificate must be from
//	client-cert.pem  what the server is shown, if it asks; needs client-key.pem
//	client-key.pem
//
// The server's certificate must be for serverName.
func LoadTLS(dir, serverName string) (*tls.Config, error) {
	ca := filepath.Join(dir, "ca-cert.pem")
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("TLS needs the certificate of an authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", ca)
	}
	config := &tls.Config{RootCAs: roots, ServerName: serverName, MinVersion: tls.VersionTLS12}
	cert, key := filepath.Join(dir, "client-cert.pem"), filepath.Join(dir, "client-key.pem")
	if _, err := os.Stat(cert); errors.Is(err, fs.ErrNotExist) {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", cert, key, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
