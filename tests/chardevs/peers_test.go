package chardevs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/govmm/govmm/chardev"
)

// patientBackend takes output only once the peer is there: what comes before would
// be dropped, as it should.
type patientBackend struct {
	chardev.Backend
	up atomic.Bool
}

func (b *patientBackend) Attach(r chardev.Receiver) { b.Backend.Attach(&spy{r, b}) }

func (b *patientBackend) Write(p []byte) int {
	if !b.up.Load() {
		return 0
	}
	return b.Backend.Write(p)
}

// spy is a front end that sees the peer come.
type spy struct {
	chardev.Receiver
	backend *patientBackend
}

func (s *spy) OutputReady() { s.Receiver.(chardev.OutputReceiver).OutputReady() }

func (s *spy) Carrier(up bool) {
	if c, ok := s.Receiver.(chardev.CarrierReceiver); ok {
		c.Carrier(up)
	}
	if up {
		s.backend.up.Store(true)
		s.OutputReady()
	}
}

// joint is a back end as a program uses a connection.
type joint struct {
	backend chardev.Backend
	mu      sync.Mutex
	changed *sync.Cond
	in      []byte
	up      bool
}

func joined(t *testing.T, b chardev.Backend) io.ReadWriter {
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

func (j *joint) OutputReady() { j.changed.Broadcast() }

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

// TestTelnetProgram has the client that people use, in its binary mode.
func TestTelnetProgram(t *testing.T) {
	s := socket(t, chardev.SocketOptions{Network: "tcp", Address: "127.0.0.1:0", Listen: true, Telnet: true})
	host, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer := program(t, "inetutils-telnet", "telnet", "-8", "-E", host, port)
	output, input := random(t, "output"), random(t, "input")
	const begin = "--begin--"
	arrived, ended := make(chan string, 1), make(chan struct{})
	go func() {
		var all []byte
		buf := make([]byte, 64<<10)
		for want := -1; want < 0 || len(all) < want; {
			n, err := peer.Read(buf)
			if all = append(all, buf[:n]...); err != nil {
				break
			}
			if at := strings.Index(string(all), begin); want < 0 && at >= 0 {
				all = all[at+len(begin):] // after what telnet says itself
				want = len(output)
			}
		}
		arrived <- string(all)
		close(ended)
	}()
	// One way after the other: with both at once this client has hung, for a cause
	// not known. And not before both have agreed: until then it looks at what is typed.
	go func() {
		<-ended
		_, _ = peer.Write(input)
	}()
	var got []byte
	runUART(t, &patientBackend{Backend: s}, append([]byte(begin), output...), func(p []byte) bool {
		got = append(got, p...)
		return len(got) < len(input)
	})
	if all := <-arrived; all != string(output) {
		t.Errorf("%d bytes of output arrived of %d, or others", len(all), len(output))
	}
	if string(got) != string(input) {
		t.Errorf("%d bytes of input arrived of %d, or others", len(got), len(input))
	}
}
