package chardev

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The files of a directory with certificates and keys, in PEM, named as libvirt
// and QEMU name them.
const (
	caFile         = "ca-cert.pem"
	serverCertFile = "server-cert.pem"
	serverKeyFile  = "server-key.pem"
	clientCertFile = "client-cert.pem"
	clientKeyFile  = "client-key.pem"
)

// ServerTLS is the configuration of a listening [Socket] with the certificate of
// server-cert.pem and server-key.pem in dir. If there is a ca-cert.pem, only
// clients are served that show a certificate signed by it.
//
// The error names the file that is missing, unreadable, expired, or does not fit.
func ServerTLS(dir string) (*tls.Config, error) {
	pair, err := loadPair(dir, serverCertFile, serverKeyFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	c.ClientCAs, err = loadCA(dir)
	if c.ClientCAs != nil {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, err
}

// ClientTLS is the configuration of a connecting [Socket], whose peer's
// certificate must be for host and be signed by ca-cert.pem in dir, or by those
// that this host trusts if there is none. It shows client-cert.pem with
// client-key.pem if they are there.
//
// The error names the file that is unreadable, expired, or does not fit.
func ClientTLS(dir, host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host}
	pair, err := loadPair(dir, clientCertFile, clientKeyFile)
	switch {
	case err == nil:
		c.Certificates = []tls.Certificate{pair}
	case !errors.Is(err, os.ErrNotExist):
		return nil, err
	}
	c.RootCAs, err = loadCA(dir)
	return c, err
}

// loadCA is nil when there is none.
func loadCA(dir string) (*x509.CertPool, error) {
	path := filepath.Join(dir, caFile)
	pem, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no certificate in it", path)
	}
	return pool, nil
}

func loadPair(dir, certFile, keyFile string) (tls.Certificate, error) {
	path := filepath.Join(dir, certFile)
	pair, err := tls.LoadX509KeyPair(path, filepath.Join(dir, keyFile))
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", path, keyFile, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return pair, fmt.Errorf("%s: the certificate has expired on %s", path, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	return pair, nil
}
