package chardevs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
)

// pipes are the standard input and output of a program.
type pipes struct {
	io.Writer
	io.Reader
}

// run starts a program that ends with the test.
func run(t *testing.T, pkg, name string, args ...string) io.ReadWriter {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	c := exec.Command(path, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%v: %s", c.Args, &stderr)
		}
	})
	return pipes{in, out}
}

// socat joins its standard input and output to an address.
func socat(t *testing.T, address string) io.ReadWriter {
	t.Helper()
	return run(t, "socat", "socat", "-", address)
}

// What socat is told of the certificates in a directory.
const (
	clientCertificate = "cafile=%[2]s/ca-cert.pem,cert=%[2]s/client-cert.pem,key=%[2]s/client-key.pem,commonname=localhost"
	serverCertificate = "cafile=%[2]s/ca-cert.pem,cert=%[2]s/server-cert.pem,key=%[2]s/server-key.pem"
)

// socatTo is socat at an address: %[1]s in its own is that, %[2]s the directory.
func socatTo(address string) program {
	return func(t *testing.T, o chardev.SocketOptions, e end) io.ReadWriter {
		return socat(t, fill(address, o.Address, e.dir))
	}
}

// socatAt is socatTo, but listens: to the port of a TCP address.
func socatAt(address string) program {
	return func(t *testing.T, o chardev.SocketOptions, e end) io.ReadWriter {
		at := o.Address
		if o.Network == "tcp" {
			_, at, _ = net.SplitHostPort(at) // it is one
		}
		return socat(t, fill(address, at, e.dir))
	}
}

func fill(address, at, dir string) string {
	return strings.NewReplacer("%s", at, "%[2]s", dir).Replace(address)
}

// telnetTo is the client that people use, in its binary mode.
func telnetTo(t *testing.T, o chardev.SocketOptions, _ end) io.ReadWriter {
	host, port, err := net.SplitHostPort(o.Address)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, "inetutils-telnet", "telnet", "-8", "-E", host, port)
}

// telnetThroughTLS is telnetTo by way of socat, as it knows no TLS.
func telnetThroughTLS(t *testing.T, o chardev.SocketOptions, e end) io.ReadWriter {
	at := freeTCP(t)
	_, port, _ := net.SplitHostPort(at)
	run(t, "socat", "socat", fmt.Sprintf("TCP-LISTEN:%s,bind=127.0.0.1,reuseaddr", port), fill("OPENSSL:%s,"+clientCertificate, o.Address, e.dir))
	// It serves one client, so there is no asking it whether it is ready.
	await.That(t, "socat listening", func() bool { return listens(t, port) })
	o.Address = at
	return telnetTo(t, o, e)
}

// listens reports whether somebody listens to a TCP port of 127.0.0.1.
func listens(t *testing.T, port string) bool {
	t.Helper()
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const listening = "0A" // the state
	return strings.Contains(string(table), fmt.Sprintf(" 0100007F:%04X 00000000:0000 %s ", number, listening))
}

// selfAt is a back end of our own that listens, where no other author's program
// does it in binary.
func selfAt(t *testing.T, o chardev.SocketOptions, e end) io.ReadWriter {
	o.Listen = true
	if o.TLS != nil {
		o.TLS = configTLS(t, e.dir, true)
	}
	return joined(socket(t, o))
}

func withTelnet(o chardev.SocketOptions) chardev.SocketOptions {
	o.Telnet = true
	return o
}

// withTLS asks for TLS; the certificates come later.
func withTLS(o chardev.SocketOptions) chardev.SocketOptions {
	o.TLS = new(tls.Config)
	return o
}

func configTLS(t *testing.T, dir string, listen bool) *tls.Config {
	t.Helper()
	c, err := chardev.ClientTLS(dir, "localhost")
	if listen {
		c, err = chardev.ServerTLS(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// joint is a back end as a program uses a connection.
type joint struct {
	backend chardev.Backend
	mu      sync.Mutex
	changed *sync.Cond
	in      []byte
	up      bool
}

func joined(b chardev.Backend) io.ReadWriter {
	j := &joint{backend: b}
	j.changed = sync.NewCond(&j.mu)
	b.Attach(j)
	return j
}

func (j *joint) Receive(p []byte) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.in = append(j.in, p...)
	j.changed.Broadcast()
	return len(p)
}

func (j *joint) OutputReady() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changed.Broadcast()
}

func (j *joint) Carrier(up bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.up = up
	j.changed.Broadcast()
}

func (j *joint) Read(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.in) == 0 {
		j.changed.Wait()
	}
	n := copy(p, j.in)
	j.in = j.in[n:]
	return n, nil
}

func (j *joint) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for rest := p; len(rest) > 0; {
		n := 0
		if j.up {
			n = j.backend.Write(rest)
		}
		if rest = rest[n:]; n == 0 {
			j.changed.Wait()
		}
	}
	return len(p), nil
}

// certificates makes those of both ends, and of who signed them.
func certificates(t *testing.T, dir string) {
	t.Helper()
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for i, name := range []string{"ca", "server", "client"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			IsCA: i == 0, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		if i == 0 {
			ca, caKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, caKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for file, block := range map[string]*pem.Block{
			name + "-cert.pem": {Type: "CERTIFICATE", Bytes: der},
			name + "-key.pem":  {Type: "EC PRIVATE KEY", Bytes: keyDER},
		} {
			if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// errEnded is that of a peer that says no more.
var errEnded = errors.New("the peer has ended")

// tail reads a file that grows, and goes on at its end.
type tail struct {
	t    *testing.T
	path string
	at   int64
}

func (f *tail) Write([]byte) (int, error) { return 0, errEnded }

// Read waits for more, or until the test ends.
func (f *tail) Read(p []byte) (n int, err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		n, err = f.read(p)
		if f.at += int64(n); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-tick.C:
		case <-f.t.Context().Done():
			return 0, errEnded
		}
	}
}

func (f *tail) read(p []byte) (int, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	n, err := file.ReadAt(p, f.at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
