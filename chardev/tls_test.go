package chardev

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificates writes a directory of all the certificates and keys there can be.
// life is how long those of server and client are valid.
func certificates(t testing.TB, life time.Duration) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store := func(name, kind string, der []byte) {
		t.Helper()
		must(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	store(caFile, "CERTIFICATE", der)
	for i, name := range []string{"server", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-12 * time.Hour), NotAfter: time.Now().Add(life),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			KeyUsage:    x509.KeyUsageDigitalSignature,
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, caKey)
		must(err)
		store(name+"-cert.pem", "CERTIFICATE", der)
		der, err = x509.MarshalECPrivateKey(key)
		must(err)
		store(name+"-key.pem", "EC PRIVATE KEY", der)
	}
	return dir
}

// newTLSPair is a listening and a connecting end.
func newTLSPair(t testing.TB, server, client *tls.Config, telnet bool) (s, c *Socket) {
	t.Helper()
	opts := localTCP
	opts.TLS, opts.Telnet = server, telnet
	s = openSocket(t, opts)
	c = openSocket(t, SocketOptions{Network: "tcp", Address: s.Addr().String(), TLS: client, Telnet: telnet})
	return s, c
}

func TestTLS(t *testing.T) {
	dir := certificates(t, time.Hour)
	server, err := ServerTLS(dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := ClientTLS(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for name, telnet := range map[string]bool{"tls": false, "telnets": true} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s, c := newTLSPair(t, server, client, telnet)
			sFront, cFront := newFrontEnd(), newFrontEnd()
			s.Attach(sFront)
			c.Attach(cFront)
			sFront.waitCarrier(t, true)
			cFront.waitCarrier(t, true)
			want := random(t, 1<<20)
			done := make(chan struct{})
			go func() { defer close(done); writeAll(t, c, want) }()
			writeAll(t, s, want)
			<-done
			sFront.waitInput(t, string(want))
			cFront.waitInput(t, string(want))
			mustClose(t, c)
			sFront.waitCarrier(t, false)
			mustClose(t, s)
		})
	}
}

// TestTLSRefuses: peers that show no certificate, or none of ours, are not served,
// and those that come after them are.
func TestTLSRefuses(t *testing.T) {
	noLeaks(t)
	dir, foreign := certificates(t, time.Hour), certificates(t, time.Hour)
	server, err := ServerTLS(dir)
	if err != nil {
		t.Fatal(err)
	}
	opts := localTCP
	opts.TLS = server
	s, front := openSocket(t, opts), newFrontEnd()
	s.Attach(front)
	writeAll(t, s, []byte("secret"))
	stranger, err := ClientTLS(foreign, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	nobody := stranger.Clone()
	nobody.Certificates = nil
	for _, config := range []*tls.Config{stranger, nobody} {
		config.InsecureSkipVerify = true
		conn, err := tls.Dial("tcp", s.Addr().String(), config)
		if err == nil { // TLS 1.3 tells the client later
			if n, err := conn.Read(make([]byte, 100)); err == nil || n > 0 {
				t.Errorf("read %d bytes, %v", n, err)
			}
			conn.Close()
		}
	}
	plain := dialSocket(t, s)
	if _, err := plain.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if up, _ := front.carrier(); up {
		t.Error("a stranger is connected")
	}
	friend, err := ClientTLS(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", s.Addr().String(), friend)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exchangeAfter(t, s, front, conn, "secret")
	mustClose(t, s)
}

// exchangeAfter is exchange after the first output.
func exchangeAfter(t testing.TB, s Backend, front *frontEnd, conn net.Conn, first string) {
	t.Helper()
	got := make([]byte, len(first))
	if n, err := conn.Read(got); err != nil || string(got[:n]) != first {
		t.Fatalf("first output %q, %v", got, err)
	}
	exchange(t, s, front, conn, 1<<18)
}

func TestTLSErrors(t *testing.T) {
	good := certificates(t, time.Hour)
	for name, test := range map[string]struct {
		spoil  func(dir string) error
		client bool
		want   string
	}{
		"none":   {func(dir string) error { return os.Remove(filepath.Join(dir, serverCertFile)) }, false, "server-cert.pem: no such file"},
		"no key": {func(dir string) error { return os.Remove(filepath.Join(dir, serverKeyFile)) }, false, "server-key.pem: no such file"},
		"other key": {func(dir string) error {
			return os.Rename(filepath.Join(dir, clientKeyFile), filepath.Join(dir, serverKeyFile))
		}, false, "private key does not match"},
		"no PEM":      {func(dir string) error { return os.WriteFile(filepath.Join(dir, serverCertFile), []byte("x"), 0o600) }, false, "server-cert.pem"},
		"no CA":       {func(dir string) error { return os.WriteFile(filepath.Join(dir, caFile), []byte("x"), 0o600) }, false, "ca-cert.pem: there is no certificate"},
		"client":      {func(dir string) error { return os.WriteFile(filepath.Join(dir, clientCertFile), nil, 0o600) }, true, "client-cert.pem"},
		"directory":   {func(dir string) error { p := filepath.Join(dir, caFile); _ = os.Remove(p); return os.Mkdir(p, 0o700) }, true, "is a directory"},
		"only a cert": {func(dir string) error { return os.Remove(filepath.Join(dir, clientKeyFile)) }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			if err := test.spoil(dir); err != nil {
				t.Fatal(err)
			}
			load := func() error { _, err := ServerTLS(dir); return err }
			if test.client {
				load = func() error { _, err := ClientTLS(dir, "host"); return err }
			}
			err := load()
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	if _, err := ServerTLS(certificates(t, -time.Hour)); err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("error %v for an old certificate", err)
	}
}
