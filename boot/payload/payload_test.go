package payload

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// sample is 60 times an x86 function with a call, which the x86 filter of xz
// changes.
func sample() []byte {
	var b []byte
	for i := range uint32(60) {
		b = append(b, 0x55, 0x48, 0x89, 0xE5, 0xE8)
		b = binary.LittleEndian.AppendUint32(b, 0x1000-10*i)
		b = append(b, 0xC3)
	}
	return b
}

// packed returns sample, compressed by the tools that the kernel's build uses, with
// its options: xz --check=crc32 --x86 --lzma2=dict=32MiB, lzma -9 and so on.
func packed() map[Format]string {
	return map[Format]string{
		XZ: "/Td6WFoAAAFpIt42AgEEACEBGgAByYCz4AJXABRdACqSDaTkvlQO5zL2P8cBKbROBEAAALz1KnEAASzYBAAAAF+y3IU+MA2LAgAAAAABWVo=",
		Bzip2: "QlpoOTFBWSZTWaC6poIAAIF//9EHwRBEEQRBEEQTBEEQRBEEYRBEEQRRFE0RRFEWRRFEIACUiNTVAAAAGgDTRpppiaPUzTSekI2pVMmAAAAA" +
			"AAAAAgQf8AAAAAAAAAAAd3d3d3d3czMzM6yKSqhEAEB3xDGmVbL+DFkzaNTW7hybcdefgijTIrZ+ob5udezvd5/zBDF69/E/ZFTLnZQuVoiE" +
			"5EAEEwiACAG1MySEygMySEm+MyS+szjMyQy/C7kinChIUF1TQQA=",
		LZMA: "XQAAAAT//////////wAqkg2k5L4wIOcy9Ixi8HyBfrhYMLyOMOadKSADjxfLauQpLxi05vYYPoLmeEgiAxJfnvRBHWYb6RZpqbFNKAYRqt/H" +
			"AAaNA1OaGkA56BIkBGOV5x4YR56bPY+W4buIXnoZNsOXf8+OqsH59qKwgywB///4HqAA",
		Zstandard: "KLUv/WRYAS0DAMQEVUiJ5egAEAAAw/YP7OLYzsS6sKackoh+dGpgVkxCOC4kGhAG/A7y6N7UysC2rKKYjoR6cGZcUkg+NCogFgwC" +
			"+A3u5NrQxryyDQAAwzuoEPDWM+DXEBKh8QE4g6QmG7XbBSkFw3iIEg==",
		LZ4: "AiFMGP4AAAChVUiJ5egAEAAAwwoAJPYPCgAV7AoAFeIKABXYCgAVzgoAFcQKABW6CgAVsAoAFaYKABWcCgAVkgoAFYgKABV+CgAVdAoAFWoK" +
			"ABVgCgAVVgoAFUwKABVCCgAVOAoAFS4KABUkCgAVGgoAFRAKABUGCgAk/A4KABXyCgAV6AoAFd4KABXUCgAVygoAFcAKABW2CgAVrAoAFaIK" +
			"ABWYCgAVjgoAFYQKABV6CgAVcAoAFWYKABVcCgAVUgoAFUgKABU+CgAVNAoAFSoKABUgCgAVFgoAFQwKABUCCgAk+A0KABXuCgAV5AoAFdoK" +
			"ABXQCgAVxgoAFbwKAFCyDQAAww==",
	}
}

// pack compresses b, as far as there are Go compressors.
func pack(t testing.TB, f Format, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch f {
	case ELF:
		return b
	case Gzip:
		w = gzip.NewWriter(&out)
	case LZ4Frame:
		w = lz4.NewWriter(&out)
	case Zstandard:
		var err error
		if w, err = zstd.NewWriter(&out); err != nil {
			t.Fatal(err)
		}
	case LZ4:
		out.Write(binary.LittleEndian.AppendUint32(nil, lz4LegacyMagic))
		for len(b) > 0 {
			n := min(len(b), lz4BlockSize)
			block := make([]byte, lz4.CompressBlockBound(n))
			m, err := lz4.CompressBlock(b[:n], block, nil)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(binary.LittleEndian.AppendUint32(nil, uint32(m)))
			out.Write(block[:m])
			b = b[n:]
		}
		return out.Bytes()
	default:
		t.Fatalf("no compressor for %v", f)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// samples returns sample in every format that can be unpacked.
func samples(t testing.TB) map[Format][]byte {
	t.Helper()
	all := map[Format][]byte{}
	for _, f := range []Format{ELF, Gzip, LZ4Frame} {
		all[f] = pack(t, f, sample())
	}
	for f, s := range packed() {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = b
	}
	return all
}

func open(t testing.TB, f Format, b []byte, limit int64) *Reader {
	t.Helper()
	r, err := Open(f, section(b), limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func section(b []byte) *io.SectionReader {
	return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b)))
}

func TestDetect(t *testing.T) {
	all := samples(t)
	all[ELF] = []byte("\x7fELF")
	all[LZO] = []byte("\x89LZO\x00\r\n\x1a\n")
	all[Unknown] = []byte("BZX")
	for f, b := range all {
		if got := Detect(b); got != f {
			t.Errorf("%v is detected as %v", f, got)
		}
		if f.Supported() != (f != LZO && f != Unknown) {
			t.Errorf("%v supported: %v", f, f.Supported())
		}
	}
	if got := Detect(nil); got != Unknown {
		t.Errorf("nothing is detected as %v", got)
	}
}

func TestReader(t *testing.T) {
	want := sample()
	for f, b := range samples(t) {
		t.Run(f.String(), func(t *testing.T) {
			r := open(t, f, b, int64(len(want)))
			for _, n := range []int{4, 64, 20} {
				if head, err := r.Peek(n); err != nil || !bytes.HasPrefix(head, want[:n]) {
					t.Fatalf("peek at %d: % x, %v", n, head, err)
				}
			}
			// Out of order, with gaps, one of them inside what was peeked at.
			a, b, c := make([]byte, 100), make([]byte, 30), make([]byte, 50)
			parts := []Part{{300, a}, {10, b}, {550, c}, {45, nil}}
			if err := r.ReadParts(context.Background(), parts); err != nil {
				t.Fatal(err)
			}
			for _, p := range parts {
				if !bytes.Equal(p.Dst, want[p.Off:p.end()]) {
					t.Errorf("part at %d is % x", p.Off, p.Dst)
				}
			}
		})
	}
}

func TestReaderErrors(t *testing.T) {
	n := int64(len(sample()))
	part := func(off, n int64) Part { return Part{off, make([]byte, n)} }
	for f, b := range samples(t) {
		for _, tt := range []struct {
			name  string
			b     []byte
			limit int64
			parts []Part
			want  error
		}{
			{"over the limit", b, n - 1, []Part{part(0, n)}, io.ErrUnexpectedEOF},
			{"over the end", b, 2 * n, []Part{part(n-1, 2)}, io.ErrUnexpectedEOF},
			{"truncated", b[:len(b)*2/3], n, []Part{part(0, n)}, nil},
			{"goes on", b, n - 1, []Part{part(0, n-1)}, nil},
			{"overlap", b, n, []Part{part(5, 10), part(0, 6)}, nil},
		} {
			// Uncompressed images and LZ4 blocks are not read past what is wanted.
			if (f == ELF || f == LZ4) && tt.name == "goes on" || f == ELF && tt.name == "overlap" {
				continue
			}
			t.Run(f.String()+" "+tt.name, func(t *testing.T) {
				r, err := Open(f, section(tt.b), tt.limit)
				if err == nil {
					defer r.Close()
					err = r.ReadParts(context.Background(), tt.parts)
				}
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
			})
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for f, b := range samples(t) {
		r := open(t, f, b, 600)
		if err := r.ReadParts(ctx, []Part{{0, make([]byte, 600)}}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: error %v", f, err)
		}
	}
}

func TestOpenUnsupported(t *testing.T) {
	for _, f := range []Format{LZO, Unknown} {
		if _, err := Open(f, section(nil), 100); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: error %v", f, err)
		}
	}
}

// Damaged content is noticed when an image is read to its end, by formats with
// a checksum.
func TestChecksum(t *testing.T) {
	b := pack(t, Gzip, sample())
	b[len(b)-8] ^= 1 // the CRC
	r := open(t, Gzip, b, 600)
	if err := r.ReadParts(context.Background(), []Part{{0, make([]byte, 600)}}); err == nil {
		t.Error("wrong checksum was not noticed")
	}
}

// image returns n bytes that differ from block to block and compress somewhat.
func image(n int) []byte {
	b := make([]byte, n)
	state := uint32(1)
	for i := range b {
		if i&7 == 0 {
			state = state*1664525 + 1013904223
		}
		b[i] = byte(state >> 24)
	}
	return b
}

// Blocks of 8 MiB: parts that hold whole blocks, halves, several in one, and
// gaps that no part wants.
func TestLZ4Blocks(t *testing.T) {
	const mib = 1 << 20
	want := image(37*mib + 123)
	b := pack(t, LZ4, want)
	// A second frame may begin between two blocks.
	frame := append(bytes.Clone(b[:8+int(binary.LittleEndian.Uint32(b[4:]))]), b[:4]...)
	framed := append(frame, b[len(frame)-4:]...)
	for _, tt := range []struct {
		name   string
		b      []byte
		peek   bool
		bounds []int // pairs of begin and end
	}{
		{"all", b, false, []int{0, len(want)}},
		{"all, after a peek", b, true, []int{0, len(want)}},
		{"two frames", framed, false, []int{0, len(want)}},
		{"one block", b, false, []int{8 * mib, 16 * mib}},
		{"two blocks and some", b, true, []int{7*mib + 1, 25*mib - 1}},
		{"many", b, true, []int{1, 2, 2 * mib, 9 * mib, 9 * mib, 10 * mib, 24 * mib, 32 * mib, 37*mib + 122, 37*mib + 123}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := open(t, LZ4, tt.b, int64(len(want)))
			if tt.peek {
				if _, err := r.Peek(64); err != nil {
					t.Fatal(err)
				}
			}
			var parts []Part
			for i := 0; i < len(tt.bounds); i += 2 {
				parts = append(parts, Part{int64(tt.bounds[i]), make([]byte, tt.bounds[i+1]-tt.bounds[i])})
			}
			if err := r.ReadParts(context.Background(), parts); err != nil {
				t.Fatal(err)
			}
			for _, p := range parts {
				if !bytes.Equal(p.Dst, want[p.Off:p.end()]) {
					t.Errorf("part at %d differs", p.Off)
				}
			}
		})
	}
}

func TestLZ4Damage(t *testing.T) {
	good := pack(t, LZ4, image(9<<20))
	second := 8 + int(binary.LittleEndian.Uint32(good[4:]))
	short := pack(t, LZ4, image(1000))
	for _, tt := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "block size at offset 0|no blocks"},
		{"magic number only", good[:4], "no blocks"},
		{"no magic number", good[4:], "magic number"},
		{"zero size", append(bytes.Clone(good[:4]), 0, 0, 0, 0), "size of 0 bytes"},
		{"large size", append(bytes.Clone(good[:4]), 0, 0, 0, 0xF0), "has a size of"},
		{"cut size", good[:second+2], "block size at offset"},
		{"cut block", good[:second+100], "has a size of"},
		{"short block first", append(bytes.Clone(short), good[4:]...), "and others follow"},
		{"garbage", append(bytes.Clone(good[:8]), bytes.Repeat([]byte{0xFF}, len(good)-8)...), "block at offset"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const limit = 9 << 20
			r, err := Open(LZ4, section(tt.b), limit)
			if err == nil {
				err = r.ReadParts(context.Background(), []Part{{0, make([]byte, limit)}})
			}
			if err == nil {
				t.Fatal("no error")
			}
			for want := range strings.SplitSeq(tt.want, "|") {
				if strings.Contains(err.Error(), want) {
					return
				}
			}
			t.Errorf("error %v, want %q", err, tt.want)
		})
	}
}

// FuzzPayload unpacks arbitrary streams of every format: no panic, and no more
// output than was asked for.
func FuzzPayload(f *testing.F) {
	for format, b := range samples(f) {
		f.Add(byte(format), b)
	}
	f.Fuzz(func(t *testing.T, format byte, b []byte) {
		r, err := Open(Format(format%byte(Zstandard+1)), section(b), 1<<20)
		if err != nil {
			return
		}
		defer r.Close()
		if head, err := r.Peek(64); err != nil || len(head) > 64 {
			return
		}
		_ = r.ReadParts(context.Background(), []Part{{100, make([]byte, 1000)}, {1 << 19, make([]byte, 1000)}})
	})
}

func BenchmarkUnpack(b *testing.B) {
	img := image(40 << 20)
	dst := make([]byte, len(img))
	for _, f := range []Format{LZ4, Zstandard, Gzip} {
		b.Run(f.String(), func(b *testing.B) {
			src := pack(b, f, img)
			b.SetBytes(int64(len(img)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := Open(f, section(src), int64(len(img)))
				if err != nil {
					b.Fatal(err)
				}
				if err := r.ReadParts(context.Background(), []Part{{0, dst}}); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
