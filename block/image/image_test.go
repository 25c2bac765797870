package image

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/nbd"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "512": 512, "1b": 1, "1k": 1024, "1K": 1024, "20G": 20 << 30, "1.5G": 3 << 29, "8191P": 8191 << 50,
		"9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "k", "-1", "+1", "8E", "1e9", "0x10", "1 G", "inf", "nan", "9223372036854775808", "1GB"} {
		if got, err := ParseSize(s); err == nil {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func TestParseOptions(t *testing.T) {
	for s, want := range map[string][]Value{
		"":              nil,
		"a=1":           {{"a", "1"}},
		"a=1,b":         {{"a", "1"}, {"b", "on"}},
		"a=x,,y,b=z,,":  {{"a", "x,y"}, {"b", "z,"}},
		"a=b=c,d=":      {{"a", "b=c"}, {"d", ""}},
		"a=1,":          {{"a", "1"}},
		"backing=,,,,=": {{"backing", ",,="}},
	} {
		if got, err := ParseOptions(s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	if _, err := ParseOptions("=1"); err == nil {
		t.Error("an option without a name")
	}
}

// TestCreateRefused asks for images that are not possible: nothing is left of
// them.
func TestCreateRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		format, options, backing, backingFormat string
		size                                    int64
		want                                    string
	}{
		{"vmdk", "", "", "", 1, `"vmdk" is no format`},
		{"raw", "cluster_size=4k", "", "", 1, `no option "cluster_size"; it has preallocation`},
		{"raw", "preallocation=metadata", "", "", 1, "preallocation=metadata is not one of off, falloc, full"},
		{"raw", "", "there", "raw", 1, "no backing file"},
		{"raw", "", "", "", -1, "size of the disk is missing"},
		{"raw", "", "", "", 1<<63 - 1, "too large"},
		{"qed", "cluster_size=5000", "", "", 1, "clusters of 5000 bytes"},
		{"qed", "cluster_size=big", "", "", 1, "cluster_size: \"big\" is no size"},
		{"qed", "size=1x", "", "", 1, "is no size"},
		{"qed", "backing_file=there", "", "", 1, "never guessed"},
		{"qed", "", "there", "qed", 1, "not a valid QED image"},
		{"qed", "", "missing", "raw", 1, "no such file"},
		{"qed", "", "nbd:x:1", "raw", 1, "protocol"},
		{"qed", "", "new", "raw", 1, "no such file"},
		{"bochs", "", "there", "raw", 1, "no backing file"},
		{"bochs", "cluster_size=4k", "", "", 1, "has none"},
		{"qcow2", "compat=1.2", "", "", 1 << 20, "compat=1.2 is not one of"},
		{"qcow2", "lazy_refcounts=maybe", "", "", 1 << 20, "on, off"},
		{"qcow2", "refcount_bits=3", "", "", 1 << 20, "refcount"},
		{"luks", "", "", "", 1 << 20, "needs a passphrase"},
		{"luks", "cipher-alg=serpent-256", "", "", 1 << 20, "is not one of aes-128"},
	} {
		o := CreateOptions{Source: Source{Name: filepath.Join(dir, "new"), Format: test.format, BackingFormat: test.backingFormat},
			Size: test.size, Backing: test.backing, Values: parse(t, test.options)}
		if _, err := Create(t.Context(), o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test, err)
		}
		if _, err := os.Stat(o.Name); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%+v: something is left: %v", test, err)
		}
	}
}

// TestCreate makes images that QEMU finds to be what was asked for.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	back := filepath.Join(dir, "back,1")
	if err := os.WriteFile(back, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, test := range []struct {
		format, options string
		size, want      int64
	}{
		{"raw", "", 1000, 1024},
		{"raw", "preallocation=full", 3 << 20, 3 << 20},
		{"raw", "size=2M", -1, 2 << 20},
		{"qed", "cluster_size=4k,table_size=2", 1 << 30, 1 << 30},
		{"qed", "backing_file=back,,1,backing_fmt=raw", -1, 1 << 20},
		{"bochs", "", 20 << 30, 20 << 30},
		{"qcow2", "", 20 << 30, 20 << 30},
		{"qcow2", "cluster_size=1M,compat=0.10,backing_file=back,,1,backing_fmt=raw", 2 << 20, 2 << 20},
		{"qcow2", "refcount_bits=64,lazy_refcounts,extended_l2=on,compression_type=zstd,preallocation=metadata", 64 << 20, 64 << 20},
	} {
		s := Source{Name: filepath.Join(dir, fmt.Sprint(n)), Format: test.format}
		if size, err := Create(t.Context(), CreateOptions{Source: s, Size: test.size, Values: parse(t, test.options)}); err != nil || size != test.want {
			t.Errorf("%+v: %d, %v", test, size, err)
			continue
		}
		sameInfo(t, s, test.want)
	}
}

// sameInfo compares what this package and qemu-img say of an image.
func sameInfo(t *testing.T, s Source, size int64) {
	t.Helper()
	list, err := ReadInfo(t.Context(), s, InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if list[0].Details.Size != size {
		t.Errorf("%s: a disk of %d bytes, not %d", s.Name, list[0].Details.Size, size)
	}
	text, err := json.Marshal(list[0])
	if err != nil {
		t.Fatal(err)
	}
	var ours, theirs map[string]any
	if err := json.Unmarshal(text, &ours); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(qemu(t, "info", "--output=json", "-f", s.Format, s.Name)), &theirs); err != nil {
		t.Fatal(err)
	}
	for key, want := range theirs {
		if key == "children" || key == "format-specific" && s.Format != "qcow2" {
			continue // of newer versions, or of qemu-img alone
		}
		if got := ours[key]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s is %v, and %v to qemu-img", s.Name, key, got, want)
		}
	}
}

// TestLoop has images that are behind themselves.
func TestLoop(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, names := range [][2]string{{a, "b"}, {b, "a"}} {
		o := CreateOptions{Source: Source{Name: names[0], Format: "qcow2", BackingFormat: "qcow2"}, Backing: names[1], Unchecked: true, Size: 1 << 20}
		if _, err := Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	_, openErr := Open(t.Context(), Source{Name: a, Format: "qcow2"}, OpenOptions{ReadOnly: true})
	_, infoErr := ReadInfo(t.Context(), Source{Name: a, Format: "qcow2"}, InfoOptions{Chain: true})
	for _, err := range []error{openErr, infoErr} {
		if err == nil || !strings.Contains(err.Error(), "behind itself") {
			t.Error(err)
		}
	}
	long := make([]*store, maxChain)
	for n := range long {
		long[n] = &store{}
	}
	if err := checkChain(a, long); err == nil || !strings.Contains(err.Error(), "more than 200") {
		t.Error(err)
	}
}

// TestUnrecorded has a backing file of a format that the image does not record.
func TestUnrecorded(t *testing.T) {
	for name, want := range map[string]string{"/x": "--backing-format", "host:x": "protocol", "x/y": "relative"} {
		s, format := Source{}, "raw"
		if name == "/x" {
			format = ""
		}
		if _, err := backingSource(s, "", name, format); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := backingSource(Source{BackingFormat: "raw"}, "/dir/image", "x", "")
	if err != nil || got.Name != "/dir/x" || got.Format != "raw" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseNBD(t *testing.T) {
	for name, want := range map[string]string{
		"nbd://host":                     "tcp host:10809 ",
		"nbd://host:1/a/b":               "tcp host:1 a/b",
		"nbd://[::1]/x":                  "tcp [::1]:10809 x",
		"nbd+unix:///x?socket=/run/nbd":  "unix /run/nbd x",
		"nbd+unix://?socket=/run/nbd":    "unix /run/nbd ",
		"nbd+unix:///x":                  "error",
		"nbds://host/x":                  "error",
		"nbd:///x":                       "error",
		"nbd:host:1":                     "no",
		"/nbd://file":                    "no",
		"nbds":                           "no",
		"http://host/x":                  "no",
		"nbd+unix:///%zz?socket=/run/nb": "error",
	} {
		o, ok, err := nbd.ParseURI(name)
		got := "no"
		if ok {
			got = o.Network + " " + o.Address + " " + o.Export
		}
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %s (%v)", name, got, err)
		}
	}
}

// TestInUse leaves images alone that are open.
func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	s := Source{Name: path, Format: "qed"}
	if _, err := Create(t.Context(), CreateOptions{Source: s, Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	i, err := Open(t.Context(), s, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	other := Source{Name: path + ".copy", Format: "raw"}
	_, createErr := Create(t.Context(), CreateOptions{Source: s, Size: 1 << 20})
	_, resizeErr := Resize(t.Context(), ResizeOptions{Source: s, Size: "2M"})
	_, checkErr := Check(t.Context(), s, CheckOptions{})
	_, infoErr := ReadInfo(t.Context(), s, InfoOptions{})
	for n, err := range []error{createErr, resizeErr, checkErr, infoErr, Convert(t.Context(), ConvertOptions{From: s, To: other})} {
		if !errors.Is(err, block.ErrInUse) {
			t.Errorf("%d: %v", n, err)
		}
	}
	if list, err := ReadInfo(t.Context(), s, InfoOptions{ForceShare: true}); err != nil || list[0].Details.Size != 1<<20 {
		t.Error(err)
	}
	if _, err := os.Stat(other.Name); !errors.Is(err, os.ErrNotExist) {
		t.Error("something is left of the copy")
	}
}

// TestConvertRefused copies what cannot be: nothing is left.
func TestConvertRefused(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	sparse(t, path("raw"), make([]byte, 1<<20))
	raw, copied := Source{Name: path("raw"), Format: "raw"}, Source{Name: path("copy"), Format: "raw"}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		o    ConvertOptions
		want string
	}{
		"itself":   {t.Context(), ConvertOptions{From: raw, To: raw}, "cannot be written at the same time"},
		"missing":  {t.Context(), ConvertOptions{From: Source{Name: path("none"), Format: "raw"}, To: copied}, "no such file"},
		"format":   {t.Context(), ConvertOptions{From: Source{Name: path("raw"), Format: "qed"}, To: copied}, "not a valid QED image"},
		"option":   {t.Context(), ConvertOptions{From: raw, To: copied, Values: []Value{{"a", "b"}}}, `no option "a"`},
		"backing":  {t.Context(), ConvertOptions{From: raw, To: copied, Values: []Value{{"backing_file", "b"}, {"backing_fmt", "raw"}}}, "backing file"},
		"small":    {t.Context(), ConvertOptions{From: raw, To: copied, Values: []Value{{"size", "4k"}}}, "too few"},
		"compress": {t.Context(), ConvertOptions{From: raw, To: copied, Compress: true}, "cannot be compressed"},
		"existing": {t.Context(), ConvertOptions{From: raw, To: copied, Existing: true}, "no such file"},
		"canceled": {canceled, ConvertOptions{From: raw, To: copied}, "canceled"},
	} {
		if err := Convert(test.ctx, test.o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(copied.Name); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: something is left: %v", name, err)
		}
	}
	// What was there before is kept, also if it is not written to its end.
	if err := os.WriteFile(copied.Name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Convert(canceled, ConvertOptions{From: raw, To: copied}); err == nil {
		t.Error("a canceled copy")
	}
	if _, err := os.Stat(copied.Name); err != nil {
		t.Error(err)
	}
}

// TestExisting copies over what an image has.
func TestExisting(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(5, 1))
	want := patchy(rng, 3<<20)
	raw := Source{Name: filepath.Join(dir, "source"), Format: "raw"}
	sparse(t, raw.Name, want)
	for _, format := range ourFormats() {
		to := Source{Name: filepath.Join(dir, format), Format: format}
		if _, err := Create(t.Context(), CreateOptions{Source: to, Size: 4 << 20}); err != nil {
			t.Fatal(err)
		}
		i, err := Open(t.Context(), to, OpenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(i.WriteVec([][]byte{bytes.Repeat([]byte{1}, 4<<20)}, 0), i.Close()); err != nil {
			t.Fatal(err)
		}
		if err := Convert(t.Context(), ConvertOptions{From: raw, To: to, Existing: true}); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, to); !bytes.Equal(got[:3<<20], want) || got[3<<20] != 1 {
			t.Errorf("%s: not what the source has, or more", format)
		}
		d, err := Compare(t.Context(), CompareOptions{A: raw, B: to})
		if err != nil || !d.Sizes || d.Short != raw.Name || d.Offset != 3<<20 {
			t.Errorf("%s: %+v, %v", format, d, err)
		}
	}
}

// TestLUKS makes encrypted images from plain ones, and back.
func TestLUKS(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(6, 1))
	want := patchy(rng, 3<<20)
	raw := Source{Name: filepath.Join(dir, "raw"), Format: "raw"}
	sparse(t, raw.Name, want)
	for _, format := range []string{"luks", "luks2"} {
		secret := Source{Name: filepath.Join(dir, format), Format: format, Secret: []byte("pass")}
		o := ConvertOptions{From: raw, To: secret, Values: parse(t, "iter-time=10,cipher-alg=aes-128")}
		if err := Convert(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, secret); !bytes.Equal(got, want) {
			t.Errorf("%s: the copy differs", format)
		}
		if p, err := os.ReadFile(secret.Name); err != nil || bytes.Contains(p, want[len(want)-64:]) {
			t.Errorf("%s: the copy is not encrypted (%v)", format, err)
		}
		secret.Secret = []byte("Pass")
		if err := Convert(t.Context(), ConvertOptions{From: secret, To: Source{Name: filepath.Join(dir, "copy"), Format: "raw"}}); err == nil {
			t.Errorf("%s: any passphrase opens it", format)
		}
		if guess, err := Probe(t.Context(), secret.Name, false); err != nil || guess != format {
			t.Errorf("%s: probed as %s, %v", format, guess, err)
		}
	}
}

// TestResize goes up and down.
func TestResize(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		format, size string
		shrink       bool
		want         int64
		wrong        string
	}{
		{"raw", "2M", false, 2 << 20, ""},
		{"raw", "+1000", false, 1<<20 + 1024, ""},
		{"raw", "-512k", true, 512 << 10, ""},
		{"raw", "512k", false, 0, "--shrink"},
		{"raw", "-1M", true, 0, "more than 0"},
		{"raw", "x", true, 0, "no size"},
		{"raw", "+8191P", true, 0, "resize"},
		{"qed", "+1G", false, 1<<30 + 1<<20, ""},
		{"qed", "512k", true, 0, "smaller"},
		{"qcow2", "+1G", false, 1<<30 + 1<<20, ""},
		{"qcow2", "512k", true, 512 << 10, ""},
		{"bochs", "+512k", false, 3 << 19, ""},
	} {
		s := Source{Name: filepath.Join(dir, "image"), Format: test.format}
		if _, err := Create(t.Context(), CreateOptions{Source: s, Size: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		size, err := Resize(t.Context(), ResizeOptions{Source: s, Size: test.size, Shrink: test.shrink})
		if test.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if err != nil || size != test.want {
			t.Errorf("%+v: %d, %v", test, size, err)
		}
		sameInfo(t, s, test.want)
	}
}

// TestCheck has images with errors, of which QEMU says the same.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	s := Source{Name: filepath.Join(dir, "image"), Format: "qed"}
	sparse(t, filepath.Join(dir, "raw"), bytes.Repeat([]byte{1}, 1<<20))
	fresh := func(change func(p []byte) []byte) {
		t.Helper()
		if err := Convert(t.Context(), ConvertOptions{From: Source{Name: filepath.Join(dir, "raw"), Format: "raw"}, To: s, Values: parse(t, "cluster_size=4k,table_size=2")}); err != nil {
			t.Fatal(err)
		}
		p, err := os.ReadFile(s.Name)
		if err == nil {
			err = os.WriteFile(s.Name, change(p), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		change func(p []byte) []byte
		code   int
		repair Repair
		after  CheckResult
	}{
		"sound":   {func(p []byte) []byte { return p }, 0, RepairAll, CheckResult{}},
		"leaks":   {func(p []byte) []byte { return append(p, make([]byte, 8192)...) }, 3, RepairNothing, CheckResult{Leaks: 2}},
		"killed":  {func(p []byte) []byte { p[16] |= 2; return append(p, make([]byte, 8192)...) }, 3, RepairLeaks, CheckResult{LeaksFixed: 2}},
		"corrupt": {func(p []byte) []byte { p[4096] = 1; return p }, 2, RepairNothing, CheckResult{Corruptions: 1, Leaks: 258}},
		"broken":  {func(p []byte) []byte { p[16] |= 2; p[binary.LittleEndian.Uint64(p[4096:])+1] = 0xFF; return p }, 2, RepairAll, CheckResult{CorruptionsFixed: 1, Leaks: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			fresh(test.change)
			if code, out := qemuImg(t, "check", "-f", "qed", s.Name); code != test.code {
				t.Errorf("qemu-img: exit code %d, not %d\n%s", code, test.code, out)
			}
			got, err := Check(t.Context(), s, CheckOptions{Repair: test.repair})
			got.TotalClusters, got.AllocatedClusters, got.ImageEndOffset = 0, 0, 0
			if err != nil || got != test.after {
				t.Errorf("%+v, not %+v (%v)", got, test.after, err)
			}
		})
	}
	if _, err := Check(t.Context(), Source{Name: s.Name, Format: "raw"}, CheckOptions{}); !errors.Is(err, ErrNoCheck) {
		t.Error(err)
	}
}

// TestSweep goes over disks of random extents: every byte is visited once, or
// skipped, and in order if that is wanted.
func TestSweep(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		size := 512 * (1 + rng.Int64N(1<<(5+rng.IntN(9))))
		var ends []int64
		var kinds []int // 0 data, 1 zeroes, 2 skipped
		for at := int64(0); at < size; {
			at = min(size, at+512*(1+rng.Int64N(1<<rng.IntN(12))))
			ends, kinds = append(ends, at), append(kinds, rng.IntN(3))
		}
		kind := func(at int64) (int, int64) {
			for n, end := range ends {
				if at < end {
					return kinds[n], end
				}
			}
			return 0, size
		}
		var mu sync.Mutex
		visited := make([]byte, size/512)
		last := int64(0)
		s := &sweep{size: size, align: 4096 << rng.IntN(5), workers: 1 + rng.IntN(8), ordered: seed%2 == 0}
		s.extent = func(offset, length int64) (extent, error) {
			k, end := kind(offset)
			return extent{length: min(length, end-offset), zero: k == 1, held: true, depth: k}, nil
		}
		s.skip = func(e extent) bool { return e.depth == 2 }
		s.visit = func(ctx context.Context, p *piece, buf []byte) error {
			if p.offset/s.align%8 == 0 {
				runtime.Gosched() // lets others go first
			}
			if s.ordered {
				if err := p.turn(ctx); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if s.ordered && p.offset < last {
				return fmt.Errorf("%d comes after %d", p.offset, last)
			}
			last = p.offset
			if !p.zero && int64(len(buf)) != p.length || p.offset%s.align != 0 {
				return fmt.Errorf("a piece at %d of %d bytes with a buffer of %d", p.offset, p.length, len(buf))
			}
			for at := p.offset; at < p.offset+p.length; at += 512 {
				if k, _ := kind(at); p.zero && k != 1 {
					return fmt.Errorf("zeroes at %d", at)
				}
				visited[at/512]++
			}
			return nil
		}
		if err := s.run(t.Context()); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for n, times := range visited {
			k, _ := kind(int64(n) * 512)
			if times > 1 || times == 0 && k != 2 {
				t.Fatalf("seed %d: sector %d of kind %d is visited %d times", seed, n, k, times)
			}
		}
		if s.progress.Done() != size {
			t.Errorf("seed %d: %d of %d are done", seed, s.progress.Done(), size)
		}
	}
	wrong := errors.New("wrong")
	s := &sweep{size: 64 << 20, ordered: true, skip: func(extent) bool { return false }}
	s.extent = func(_, length int64) (extent, error) { return extent{length: length, held: true}, nil }
	s.visit = func(_ context.Context, p *piece, _ []byte) error {
		if p.offset == 8<<20 {
			return wrong
		}
		return nil
	}
	if err := s.run(t.Context()); !errors.Is(err, wrong) {
		t.Error(err)
	}
}

func TestRuns(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		p := patchy(rng, int64(rng.IntN(1<<16)))
		size := []int{0, 512, 4096, 65536}[rng.IntN(4)]
		at := 0
		for _, r := range runs(nil, p, size) {
			if r.from != at || r.to <= at && len(p) > 0 {
				t.Fatalf("a run from %d to %d after %d", r.from, r.to, at)
			}
			if r.zero && !bytes.Equal(p[r.from:r.to], make([]byte, r.to-r.from)) {
				t.Fatal("no zeroes")
			}
			at = r.to
		}
		if at != len(p) {
			t.Fatalf("%d of %d bytes", at, len(p))
		}
	}
}

func BenchmarkRuns(b *testing.B) {
	for name, p := range map[string][]byte{"zeroes": make([]byte, chunkSize), "data": bytes.Repeat([]byte{1}, chunkSize)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			list := make([]run, 0, 16)
			for b.Loop() {
				runs(list, p, DefaultSparse)
			}
		})
	}
}
