package luks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/crypt"
)

// pass opens all containers of the tests.
var pass = []byte("correct horse")

// quick makes containers whose opening takes no time.
var (
	quick1 = CreateOptions{Version: 1, Passphrase: pass, KDF: KDF{Type: PBKDF2, Hash: "sha256", Iterations: 1000}}
	quick2 = CreateOptions{Version: 2, Passphrase: pass, KDF: KDF{Type: Argon2id, Time: 4, Memory: 32, Threads: 1}}
)

// memory is a store in memory. What lies beyond its data reads as zeroes.
type memory []byte

func (m memory) Size() int64 { return int64(len(m)) }

func (m memory) ReadVec(vec [][]byte, offset int64) error {
	for _, b := range vec {
		if offset < 0 || offset+int64(len(b)) > int64(len(m)) {
			return block.ErrOutOfRange
		}
		offset += int64(copy(b, m[offset:]))
	}
	return nil
}

func noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(p) // it cannot fail
	return p
}

func newFile(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "container")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func openFile(t testing.TB, path string) *block.File {
	t.Helper()
	f, err := block.OpenFile(t.Context(), block.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// create makes a container of 1 MiB in a file, with the noise of a seed in it.
func create(t testing.TB, o CreateOptions, seed uint64) (path string) {
	t.Helper()
	path = newFile(t, 0)
	o.Size = 1 << 20
	l, err := Create(t.Context(), openFile(t, path), o)
	if err != nil {
		t.Fatal(err)
	}
	if l.Size() != 1<<20 {
		t.Errorf("the disk is %d bytes long", l.Size())
	}
	if err := l.WriteVec([][]byte{noise(seed, 1<<20)}, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// with opens the container in a file and gives it to use, if that succeeds.
func with(t testing.TB, path string, o Options, use func(l *crypt.Layer)) error {
	t.Helper()
	f, err := block.OpenFile(t.Context(), block.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), f, o)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	use(l)
	return l.Close()
}

// content is what the container in a file holds, from the beginning.
func content(t testing.TB, path string, passphrase []byte, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	err := with(t, path, Options{Passphrase: passphrase, ReadOnly: true}, func(l *crypt.Layer) {
		if err := l.ReadVec([][]byte{p}, 0); err != nil {
			t.Fatal(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCreateAndOpen(t *testing.T) {
	for name, o := range map[string]CreateOptions{"1": quick1, "2": quick2} {
		t.Run(name, func(t *testing.T) {
			path := create(t, o, 5)
			if !bytes.Equal(content(t, path, pass, 1<<20), noise(5, 1<<20)) {
				t.Error("it holds other bytes than were written")
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(raw, noise(5, 1<<20)[:16]) {
				t.Error("the container holds plain bytes")
			}
			none := func(*crypt.Layer) { t.Error("it opens") }
			if err := with(t, path, Options{Passphrase: []byte("wrong")}, none); !errors.Is(err, ErrPassphrase) {
				t.Errorf("a wrong passphrase: %v", err)
			}
			if err := with(t, path, Options{Passphrase: pass, Version: 3 - o.Version}, none); !errors.Is(err, ErrUnsupported) {
				t.Errorf("the other version: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err = Open(ctx, openFile(t, path), Options{Passphrase: pass}); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

func TestCreateOptions(t *testing.T) {
	for _, c := range []struct {
		want string
		o    CreateOptions
	}{
		{"version 3", CreateOptions{Version: 3, Passphrase: pass}},
		{"passphrase is empty", CreateOptions{}},
		{"sectors of 512", CreateOptions{Version: 1, Passphrase: pass, SectorSize: 4096}},
		{"PBKDF2 alone", CreateOptions{Version: 1, Passphrase: pass, KDF: KDF{Type: Argon2id}}},
		{"label", CreateOptions{Passphrase: pass, Label: strings.Repeat("x", 48)}},
		{"UUID", CreateOptions{Passphrase: pass, UUID: strings.Repeat("x", 40)}},
		{"whole sectors", CreateOptions{Passphrase: pass, Size: 513}},
		{"serpent", CreateOptions{Passphrase: pass, Cipher: "serpent-xts-plain64"}},
		{"md5", CreateOptions{Passphrase: pass, Hash: "md5"}},
	} {
		_, err := Create(t.Context(), openFile(t, newFile(t, 0)), c.o)
		if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
	if _, err := Create(t.Context(), openFile(t, newFile(t, 1<<20)), quick2); !errors.Is(err, block.ErrOutOfRange) {
		t.Errorf("a store that is too short: %v", err)
	}
}

// TestMeasure has the costs measured out.
func TestMeasure(t *testing.T) {
	for _, k := range []KDF{{Type: PBKDF2, Hash: "sha512"}, {Type: Argon2i}, {Type: Argon2id, Memory: 1024}} {
		if err := k.measure(t.Context(), 100*time.Millisecond, 64); err != nil {
			t.Fatal(err)
		}
		limits := Limits{}.withDefaults()
		if err := limits.take(&k, 64); err != nil {
			t.Errorf("what was measured cannot be opened: %v", err)
		}
		if k.Type == PBKDF2 && k.Iterations < minIterations || k.Type != PBKDF2 && (k.Time < minTime || k.Memory < 1024) {
			t.Errorf("%+v", k)
		}
	}
}

// image is a container without a disk, as bytes to be damaged.
func image(t testing.TB, o CreateOptions) []byte {
	t.Helper()
	offset, err := o.DataOffset()
	if err != nil {
		t.Fatal(err)
	}
	path := newFile(t, offset+4096)
	l, err := Create(t.Context(), openFile(t, path), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// open opens what a store holds, as far as finding the key.
func open(ctx context.Context, s Store) error {
	h, err := ReadHeader(s)
	if err != nil {
		return err
	}
	_, err = h.Unlock(ctx, s, pass, Limits{Memory: 1024, Iterations: 1 << 16, Passes: 1 << 16})
	return err
}

func TestDamaged1(t *testing.T) {
	whole := image(t, quick1)
	be := binary.BigEndian
	slot := func(p []byte, i int) []byte { return p[208+i*slotSize1:] }
	for name, c := range map[string]struct {
		damage func(p []byte)
		want   error
	}{
		"magic":                  {func(p []byte) { p[0] = 'X' }, ErrNotLUKS},
		"version":                {func(p []byte) { p[7] = 3 }, ErrUnsupported},
		"cipher":                 {func(p []byte) { copy(p[8:], "rot") }, ErrUnsupported},
		"mode":                   {func(p []byte) { copy(p[40:], "ecb\x00") }, ErrUnsupported},
		"hash":                   {func(p []byte) { copy(p[72:], "md5\x00") }, ErrUnsupported},
		"no hash":                {func(p []byte) { clear(p[72:104]) }, ErrUnsupported},
		"detached":               {func(p []byte) { be.PutUint32(p[104:], 0) }, ErrUnsupported},
		"disk beyond the end":    {func(p []byte) { be.PutUint32(p[104:], 1<<31) }, ErrCorrupt},
		"disk in the header":     {func(p []byte) { be.PutUint32(p[104:], 1) }, ErrCorrupt},
		"disk in the key slots":  {func(p []byte) { be.PutUint32(p[104:], 100) }, ErrCorrupt},
		"huge key":               {func(p []byte) { be.PutUint32(p[108:], 1<<32-1) }, ErrUnsupported},
		"odd key":                {func(p []byte) { be.PutUint32(p[108:], 63) }, ErrUnsupported},
		"no key":                 {func(p []byte) { be.PutUint32(p[108:], 0) }, ErrUnsupported},
		"other digest":           {func(p []byte) { p[112] ^= 1 }, ErrPassphrase},
		"digest for ever":        {func(p []byte) { be.PutUint32(p[164:], 1<<32-1) }, ErrCost},
		"digest by nothing":      {func(p []byte) { be.PutUint32(p[164:], 0) }, ErrCorrupt},
		"slot state":             {func(p []byte) { be.PutUint32(slot(p, 3), 7) }, ErrCorrupt},
		"slot for ever":          {func(p []byte) { be.PutUint32(slot(p, 0)[4:], 1<<32-1) }, ErrCost},
		"slot by nothing":        {func(p []byte) { be.PutUint32(slot(p, 0)[4:], 0) }, ErrCorrupt},
		"slot in the header":     {func(p []byte) { be.PutUint32(slot(p, 0)[40:], 1) }, ErrCorrupt},
		"slot beyond the end":    {func(p []byte) { be.PutUint32(slot(p, 0)[40:], 1<<32-1) }, ErrCorrupt},
		"stripes":                {func(p []byte) { be.PutUint32(slot(p, 0)[44:], 1<<32-1) }, ErrCorrupt},
		"no slot":                {func(p []byte) { be.PutUint32(slot(p, 0), slotNotUsed) }, ErrPassphrase},
		"overlapping slots":      {func(p []byte) { copy(slot(p, 1)[:slotSize1], slot(p, 0)) }, ErrCorrupt},
		"overwritten key":        {func(p []byte) { p[4096+1000] ^= 1 }, ErrPassphrase},
		"nothing but the header": {func(p []byte) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := bytes.Clone(whole)
			c.damage(p)
			if err := open(t.Context(), memory(p)); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	for _, n := range []int{0, 100, 591, 592, 5000} {
		if err := open(t.Context(), memory(whole[:n])); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotLUKS) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

// reseal changes the JSON of both headers and puts the checksums right.
func reseal(t testing.TB, p []byte, change func(json string) string) {
	t.Helper()
	for _, at := range []int64{0, minTotal2} {
		b, err := readBinary2(memory(p), at)
		if err != nil {
			t.Fatal(err)
		}
		b.json = []byte(change(string(b.json)))
		q, err := b.put2(make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		copy(p[at:], q)
	}
}

func TestDamaged2(t *testing.T) {
	whole := image(t, quick2)
	for _, c := range []struct {
		from, to string
		want     error
	}{
		{`"type":"luks2"`, `"type":"reencrypt"`, ErrUnsupported},
		{`"key_size":64`, `"key_size":4000000000`, ErrUnsupported},
		{`"key_size":64`, `"key_size":-1`, ErrUnsupported},
		{`"stripes":4000`, `"stripes":1`, ErrCorrupt},
		{`"type":"luks1"`, `"type":"luks7"`, ErrUnsupported},
		{`"type":"raw"`, `"type":"datashift"`, ErrUnsupported},
		{`"offset":"32768"`, `"offset":"0"`, ErrCorrupt},
		{`"offset":"32768"`, `"offset":"-1"`, ErrCorrupt},
		{`"offset":"32768"`, `"offset":"9223372036854775807"`, ErrCorrupt},
		{`"offset":"32768"`, `"offset":"x"`, ErrCorrupt},
		{`"size":"258048"`, `"size":"9223372036854775807"`, ErrCorrupt},
		{`"size":"258048"`, `"size":"-258048"`, ErrCorrupt},
		{`"size":"258048"`, `"size":"1000"`, ErrCorrupt},
		{`"type":"argon2id"`, `"type":"scrypt"`, ErrUnsupported},
		{`"time":4`, `"time":0`, ErrCorrupt},
		{`"time":4`, `"time":4294967295`, ErrCost},
		{`"memory":32`, `"memory":4194304`, ErrCost},
		{`"memory":32`, `"memory":0`, ErrCorrupt},
		{`"memory":32`, `"memory":-1`, ErrCorrupt},
		{`"cpus":1`, `"cpus":0`, ErrCorrupt},
		{`"cpus":1`, `"cpus":1000`, ErrCorrupt},
		{`"iterations":1000`, `"iterations":4294967295`, ErrCost},
		{`"iterations":1000`, `"iterations":0`, ErrCorrupt},
		{`"offset":"16777216"`, `"offset":"0"`, ErrUnsupported},
		{`"offset":"16777216"`, `"offset":"17000000000"`, ErrCorrupt},
		{`"offset":"16777216"`, `"offset":"65536"`, ErrCorrupt},
		{`"size":"dynamic"`, `"size":"1099511627776"`, ErrCorrupt},
		{`"size":"dynamic"`, `"size":"100"`, ErrCorrupt},
		{`"size":"dynamic"`, `"size":"4096"`, nil},
		{`"sector_size":512`, `"sector_size":1`, ErrCorrupt},
		{`"sector_size":512`, `"sector_size":512,"integrity":{"type":"hmac(sha256)"}`, ErrUnsupported},
		{`"type":"crypt"`, `"type":"linear"`, ErrUnsupported},
		{`"segments":{"0":{`, `"segments":{"1":null,"0":{`, ErrUnsupported},
		{`"segments":{"0":{`, `"segments":{"0":null},"x":{"0":{`, ErrCorrupt},
		{`"keyslots":["0"]`, `"keyslots":["1"]`, ErrCorrupt},
		{`"keyslots":["0"]`, `"keyslots":["0","0"]`, ErrCorrupt},
		{`"keyslots":["0"]`, `"keyslots":["99999999999999999999"]`, ErrCorrupt},
		{`"keyslots":["0"]`, `"keyslots":[]`, ErrPassphrase},
		{`"segments":["0"]`, `"segments":[]`, ErrCorrupt},
		{`"digests":{"0":{"type":"pbkdf2"`, `"digests":{"0":{"type":"none"`, ErrUnsupported},
		{`"keyslots_size":"16744448"`, `"keyslots_size":"9223372036854775807"`, ErrCorrupt},
		{`"keyslots_size":"16744448"`, `"keyslots_size":"-1"`, ErrCorrupt},
		{`"keyslots_size":"16744448"`, `"keyslots_size":"16744448","requirements":{"mandatory":["online-reencrypt"]}`, ErrUnsupported},
		{`"keyslots":{"0":{`, `"keyslots":{"0":{"priority":0,`, ErrPassphrase},
		{`"keyslots":{"0":{`, `"keyslots":{"0":{"priority":2,`, nil},
		{`{`, `[`, ErrCorrupt},
	} {
		t.Run(c.to, func(t *testing.T) {
			p := bytes.Clone(whole)
			reseal(t, p, func(json string) string {
				if !strings.Contains(json, c.from) {
					t.Fatalf("%s is not in %s", c.from, json)
				}
				return strings.Replace(json, c.from, c.to, 1)
			})
			if err := open(t.Context(), memory(p)); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestEmptyDigest is about a digest that any key would fit.
func TestEmptyDigest(t *testing.T) {
	p := image(t, quick2)
	reseal(t, p, func(json string) string {
		i := strings.Index(json, `"digest":"`) + len(`"digest":"`)
		return json[:i] + json[i+strings.IndexByte(json[i:], '"'):]
	})
	if err := open(t.Context(), memory(p)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// TestSecondHeader damages the first header of LUKS2, then both.
func TestSecondHeader(t *testing.T) {
	whole := image(t, quick2)
	for _, at := range []int{0, 7, 10, 448, 5000} {
		p := bytes.Clone(whole)
		p[at] ^= 0x10
		if err := open(t.Context(), memory(p)); err != nil {
			t.Errorf("byte %d of the first header damaged: %v", at, err)
		}
		p[minTotal2+5000] ^= 1
		if err := open(t.Context(), memory(p)); err == nil {
			t.Errorf("byte %d of the first header and the second damaged, and yet it opens", at)
		}
	}
	// The newer of two that are whole counts.
	p := bytes.Clone(whole)
	b, err := readBinary2(memory(p), minTotal2)
	if err != nil {
		t.Fatal(err)
	}
	b.sequence, b.label = 9, "newer"
	q, err := b.put2(make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	copy(p[minTotal2:], q)
	if h, err := ReadHeader(memory(p)); err != nil || h.Label != "newer" {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestSplit(t *testing.T) {
	for _, name := range []string{"sha1", "sha224", "sha256", "sha384", "sha512", "ripemd160"} {
		h, err := newHash(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{16, 24, 32, 64} {
			key := noise(uint64(n), n)
			material, err := split(key, h(), rand.NewChaCha8([32]byte{}))
			if err != nil {
				t.Fatal(err)
			}
			if got := merge(material, n, h()); !bytes.Equal(got, key) {
				t.Errorf("%s, %d bytes: %x, want %x", name, n, got, key)
			}
			material[n*stripes/2] ^= 1
			if got := merge(material, n, h()); bytes.Equal(got, key) {
				t.Errorf("%s, %d bytes: one bit less gives the same key", name, n)
			}
		}
	}
}

// FuzzHeader opens whatever looks like a container, with a bound on what the
// derivation of keys may cost.
func FuzzHeader(f *testing.F) {
	one, two := image(f, quick1), image(f, quick2)
	f.Add(one[:headerSize1], false)
	f.Add(two[:2*minTotal2], true)
	f.Add(two[:2*minTotal2], false)
	f.Fuzz(func(t *testing.T, p []byte, seal bool) {
		if len(p) > 1<<20 {
			return
		}
		s := memory(append(bytes.Clone(p), make([]byte, 300<<10)...))
		if seal {
			sealAll(s)
		}
		h, err := ReadHeader(s)
		if err != nil {
			return
		}
		if h.Offset > s.Size() || h.Offset <= 0 || h.Size < 0 {
			t.Errorf("the disk is at %d, %d bytes long", h.Offset, h.Size)
		}
		_, err = h.Unlock(t.Context(), s, pass, Limits{Memory: 64, Iterations: 4096, Passes: 256})
		if err == nil {
			return // a damage that does not matter
		}
		if !slices.ContainsFunc([]error{ErrPassphrase, ErrCost, ErrUnsupported}, func(known error) bool { return errors.Is(err, known) }) {
			t.Errorf("an error of no known kind: %v", err)
		}
	})
}

// sealAll puts the checksums of LUKS2 headers right, so that what is behind them
// is reached.
func sealAll(p []byte) {
	for _, at := range []int{0, minTotal2} {
		if len(p) < at+minTotal2 || string(p[at+72:at+79]) != "sha256\x00" {
			continue
		}
		total := int64(binary.BigEndian.Uint64(p[at+8:]))
		if total < headerSize2 || total > int64(len(p)-at) {
			continue
		}
		h := p[at:]
		clear(h[sumOffset2:][:sumSize2])
		sum, err := checksum2("sha256", h[:headerSize2], h[headerSize2:total])
		if err == nil {
			copy(h[sumOffset2:], sum)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, k := range []KDF{{Type: PBKDF2, Hash: "sha256", Iterations: 1 << 20}, {Type: Argon2id, Time: 4, Memory: 64 << 10, Threads: 2}} {
		b.Run(fmt.Sprint(k.Type), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.derive(b.Context(), pass, make([]byte, saltSize), 32); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
