package payload

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
	"github.com/ulikunitz/xz/lzma"
)

// Part is a part of an unpacked image that is wanted: what is at offset Off
// goes to Dst.
type Part struct {
	Off int64
	Dst []byte
}

func (p Part) end() int64 { return p.Off + int64(len(p.Dst)) }

// Reader unpacks one image. Its methods are called one after the other: Peek
// as often as needed, ReadParts once, Close at the end.
type Reader struct {
	format Format
	src    *io.SectionReader
	limit  int64
	r      io.Reader  // of the unpacked image; nil for ELF and LZ4
	lz4    *legacyLZ4 // LZ4 only
	head   []byte     // what Peek took from r
	close  func()
}

// Open starts to unpack src. Nothing from offset limit on is ever unpacked. A
// format that is recognised only gives ErrUnsupported.
func Open(f Format, src *io.SectionReader, limit int64) (*Reader, error) {
	r := &Reader{format: f, src: src, limit: limit, close: func() {}}
	if err := r.open(); err != nil {
		return nil, r.wrap(err)
	}
	return r, nil
}

func (r *Reader) open() (err error) {
	switch r.format {
	case ELF:
	case Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(r.src); err == nil {
			z.Multistream(false)
			r.r = z
		}
	case Bzip2:
		r.r = bzip2.NewReader(r.src)
	case LZMA:
		r.r, err = lzma.ReaderConfig{DictCap: maxWindow}.NewReader(bufio.NewReader(r.src))
	case XZ:
		r.r, err = xz.NewReader(r.src, maxWindow)
	case LZ4:
		r.lz4, err = newLegacyLZ4(r.src, r.limit)
	case LZ4Frame:
		r.r = lz4.NewReader(r.src)
	case Zstandard:
		// One decoder thread: more of them only add hand-overs here.
		var z *zstd.Decoder
		z, err = zstd.NewReader(r.src,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			r.r, r.close = z, z.Close
		}
	default:
		err = ErrUnsupported
	}
	return err
}

// Close releases the working memory.
func (r *Reader) Close() { r.close() }

func (r *Reader) wrap(err error) error {
	if err == nil || r.format == ELF {
		return err
	}
	return fmt.Errorf("%s stream: %w", r.format, err)
}

// Peek returns the first n bytes of the image, or all of it if it is shorter.
func (r *Reader) Peek(n int) ([]byte, error) {
	n = int(min(int64(n), r.limit))
	switch {
	case len(r.head) >= n:
	case r.format == ELF:
		r.head = make([]byte, min(int64(n), r.src.Size()))
		if err := ReadAt(context.Background(), r.src, r.head, 0); err != nil {
			return nil, err
		}
	case r.lz4 != nil:
		var err error
		if r.head, err = r.lz4.peek(); err != nil {
			return nil, r.wrap(err)
		}
	default:
		// Not io.ReadFull: its io.ErrUnexpectedEOF would hide that of a
		// damaged stream.
		buf := make([]byte, n)
		have := copy(buf, r.head)
		for have < n {
			got, err := r.r.Read(buf[have:])
			have += got
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, r.wrap(err)
			}
		}
		r.head = buf[:have]
	}
	return r.head[:min(n, len(r.head))], nil
}

// ReadParts fills all parts, or fails. The parts of a compressed image must not
// overlap in it, since it is unpacked only once; they may be in any order. If
// they reach to the limit the image must end there, and its checksum, if the
// format has one, must be right.
//
// LZ4 is unpacked by several goroutines at once, into the parts where a whole
// block fits.
func (r *Reader) ReadParts(ctx context.Context, parts []Part) error {
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b Part) int { return cmp.Compare(a.Off, b.Off) })
	for _, p := range parts {
		if p.Off < 0 || p.end() < p.Off || p.end() > r.limit {
			return r.wrap(fmt.Errorf("%d bytes at offset %d are wanted, and it has %d: %w",
				len(p.Dst), p.Off, r.limit, io.ErrUnexpectedEOF))
		}
	}
	if r.format == ELF {
		for _, p := range parts {
			if err := ReadAt(ctx, r.src, p.Dst, p.Off); err != nil {
				return err
			}
		}
		return nil
	}
	for i := 1; i < len(parts); i++ {
		if parts[i].Off < parts[i-1].end() {
			return r.wrap(fmt.Errorf("the parts at offsets %d and %d overlap", parts[i-1].Off, parts[i].Off))
		}
	}
	if r.lz4 != nil {
		return r.wrap(r.lz4.readParts(ctx, parts))
	}
	return r.wrap(r.readInOrder(ctx, parts))
}

// chunk is how much is read between two looks at the context, in bytes.
const chunk = 4 << 20

// readInOrder reads the image from its beginning.
func (r *Reader) readInOrder(ctx context.Context, parts []Part) error {
	in := io.MultiReader(bytes.NewReader(r.head), r.r)
	var pos int64
	for _, p := range parts {
		for pos < p.Off {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := io.CopyN(io.Discard, in, min(p.Off-pos, chunk))
			pos += n
			if err != nil {
				return endedAt(err, pos)
			}
		}
		for dst := p.Dst; len(dst) > 0; {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := io.ReadFull(in, dst[:min(len(dst), chunk)])
			pos += int64(n)
			if err != nil {
				return endedAt(err, pos)
			}
			dst = dst[n:]
		}
	}
	if pos < r.limit {
		return nil
	}
	switch n, err := io.CopyN(io.Discard, in, 1); {
	case n > 0:
		return fmt.Errorf("goes on after %d bytes, where it should end", pos)
	case err == io.EOF:
		return nil
	default:
		return err
	}
}

// endedAt explains an end of file where more was wanted.
func endedAt(err error, pos int64) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("truncated: it ends after %d bytes: %w", pos, io.ErrUnexpectedEOF)
	}
	return err
}

// ReadAt fills dst from src at offset off, and stops when ctx ends.
func ReadAt(ctx context.Context, src io.ReaderAt, dst []byte, off int64) error {
	for len(dst) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		want := min(len(dst), chunk)
		n, err := src.ReadAt(dst[:want], off)
		off += int64(n)
		if n < want {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return endedAt(err, off)
		}
		dst = dst[n:]
	}
	return nil
}
