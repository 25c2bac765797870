package nbd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// imageSize is that of the exports in tests.
const imageSize = 4 << 20

// server is a peer's process that exports an image.
type server struct {
	t       testing.TB
	command func(s *server) []string
	image   string
	dir     string
	port    string // of TCP, or ""
	process *exec.Cmd
	stderr  bytes.Buffer
	network string
	address string
}

// peers are the servers that the client is tried with.
var peers = map[string]func(s *server) []string{
	"qemu-nbd": func(s *server) []string {
		return append([]string{"qemu-nbd", "-t", "-f", "raw", "-x", "disk", "-e", "8", "--discard=unmap", s.image}, s.qemuPlace()...)
	},
	"nbd-server": func(s *server) []string {
		where := "unixsock = " + s.address
		if s.port != "" {
			where = "listenaddr = 127.0.0.1\nport = " + s.port
		}
		config := filepath.Join(s.dir, "config")
		text := fmt.Sprintf("[generic]\n%s\n[disk]\nexportname = %s\nflush = true\nfua = true\ntrim = true\n", where, s.image)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return []string{"nbd-server", "-C", config, "-p", filepath.Join(s.dir, "pid")}
	},
	"nbdkit": func(s *server) []string {
		return append([]string{"nbdkit", "-f", "--exit-with-parent"}, append(s.nbdkitPlace(), "file", s.image)...)
	},
	// 4 KiB blocks: what is smaller has to be read before it is written.
	"nbdkit-blocks": func(s *server) []string {
		return append([]string{"nbdkit", "-f", "--exit-with-parent", "--filter=blocksize-policy"},
			append(s.nbdkitPlace(), "file", s.image, "blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=64K", "blocksize-error-policy=error")...)
	},
	// Nothing but reads and writes, and simple replies.
	"nbdkit-plain": func(s *server) []string {
		return append([]string{"nbdkit", "-f", "--exit-with-parent", "--no-sr", "--filter=nozero"},
			append(s.nbdkitPlace(), "file", s.image)...)
	},
}

func (s *server) qemuPlace() []string {
	if s.port != "" {
		return []string{"-b", "127.0.0.1", "-p", s.port}
	}
	return []string{"-k", s.address}
}

func (s *server) nbdkitPlace() []string {
	if s.port != "" {
		return []string{"-i", "127.0.0.1", "-p", s.port}
	}
	return []string{"-U", s.address}
}

// newServer makes an image of zeroes and starts a peer that exports it.
func newServer(t testing.TB, network string, command func(*server) []string) *server {
	t.Helper()
	s := &server{t: t, command: command, dir: t.TempDir(), network: network}
	s.image = filepath.Join(s.dir, "image")
	if err := os.WriteFile(s.image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.image, imageSize); err != nil {
		t.Fatal(err)
	}
	s.address = filepath.Join(s.dir, "socket")
	if network == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.address = l.Addr().String()
		_, s.port, _ = net.SplitHostPort(s.address)
		l.Close()
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	args := s.command(s)
	program, err := exec.LookPath(args[0])
	if err != nil {
		s.t.Fatalf("%v (packages qemu-utils, nbd-server, nbdkit)", err)
	}
	if s.port == "" {
		_ = os.Remove(s.address)
	}
	s.process = exec.Command(program, args[1:]...)
	s.process.Stderr, s.process.Stdout = &s.stderr, &s.stderr
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for giveUp := time.After(10 * time.Second); ; {
		if c, err := net.Dial(s.network, s.address); err == nil {
			c.Close()
			// nbd-server can only be killed when it has said its number.
			if text, _ := os.ReadFile(filepath.Join(s.dir, "pid")); args[0] != "nbd-server" || len(text) > 0 {
				return
			}
		}
		select {
		case <-tick.C:
		case <-giveUp:
			s.kill()
			s.t.Fatalf("%s does not come up: %s", args[0], s.stderr.String())
		}
	}
}

func (s *server) kill() {
	if s.process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait() // killed
		s.process = nil
	}
	// nbd-server has left for the background, with a process for each client.
	pid := filepath.Join(s.dir, "pid")
	if text, err := os.ReadFile(pid); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n > 1 {
			_ = unix.Kill(-n, unix.SIGKILL)
		}
		_ = os.Remove(pid)
	}
}

func (s *server) options() Options {
	return Options{
		Network: s.network, Address: s.address, Export: "disk", Patience: time.Minute,
		Log: slog.New(slog.NewTextHandler(s.t.Output(), nil)),
	}
}

func (s *server) open(o Options) *Client {
	s.t.Helper()
	c, err := Open(s.t.Context(), o)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.stderr.String())
	}
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return c
}

// content is what the image holds.
func (s *server) content() []byte {
	s.t.Helper()
	b, err := os.ReadFile(s.image)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// certificates makes a directory as LoadTLS, qemu-nbd and nbdkit want it.
func certificates(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write := func(name, kind string, der []byte, err error) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey := newKey()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	write("ca-cert.pem", "CERTIFICATE", der, err)
	for i, role := range []string{"server", "client"} {
		key := newKey()
		cert := &x509.Certificate{
			SerialNumber: big.NewInt(int64(2 + i)), Subject: pkix.Name{CommonName: role},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, ca, key.Public(), caKey)
		write(role+"-cert.pem", "CERTIFICATE", der, err)
		der, err = x509.MarshalPKCS8PrivateKey(key)
		write(role+"-key.pem", "PRIVATE KEY", der, err)
	}
	return dir
}

func loadTLS(t testing.TB, dir, name string) *tls.Config {
	t.Helper()
	config, err := LoadTLS(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return config
}
