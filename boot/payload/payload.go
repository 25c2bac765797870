// Package payload recognises and unpacks the compressed kernels that Linux
// bzImages carry and that distributions ship as vmlinux.gz and the like.
//
// The formats are those of Documentation/arch/x86/boot.rst, field
// payload_offset: gzip, bzip2, LZMA (the "alone" format), XZ, LZO, LZ4 (the
// legacy frame) and Zstandard. LZO is recognised but not unpacked.
//
// A stream is read for the parts of it that the caller has room for, and never
// past a limit, so that one which unpacks to much more than it should costs
// nothing. Working memory is bounded by maxWindow.
package payload

import (
	"bytes"
	"errors"
)

// Format is a compression format.
type Format uint8

// The formats, in the order in which Linux came to support them.
const (
	Unknown   Format = iota // none of the others
	ELF                     // an ELF image: not compressed
	Gzip                    // RFC 1952
	Bzip2                   //
	LZMA                    // the .lzma ("alone") format
	XZ                      // with the x86 branch filter, as the kernel uses it
	LZO                     // the lzop file format
	LZ4                     // the legacy frame of 8 MiB blocks (lz4 -l)
	LZ4Frame                // the current LZ4 frame; not used inside a bzImage
	Zstandard               // RFC 8878
)

// maxWindow bounds the dictionary that a stream may ask for, in bytes. The
// kernel's own build uses up to 32 MiB for xz and 128 MiB for zstd.
const maxWindow = 128 << 20

// ErrUnsupported is returned for a format that this package cannot unpack.
var ErrUnsupported = errors.New("cannot be unpacked here")

// DetectLen is the number of leading bytes that Detect looks at.
const DetectLen = 9

// Detect names the format of a stream by its leading bytes, of which it wants
// DetectLen.
func Detect(head []byte) Format {
	for _, m := range []struct {
		magic  string
		format Format
	}{
		{"\x7fELF", ELF},
		{"\x1f\x8b", Gzip},
		{"BZh", Bzip2},
		{"\xfd7zXZ\x00", XZ},
		{"\x89LZO\x00\r\n\x1a\n", LZO},
		{"\x02\x21\x4c\x18", LZ4},
		{"\x04\x22\x4d\x18", LZ4Frame},
		{"\x28\xb5\x2f\xfd", Zstandard},
		{"\x5d\x00\x00", LZMA},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.format
		}
	}
	return Unknown
}

// String returns the name by which people know the format.
func (f Format) String() string {
	switch f {
	case ELF:
		return "uncompressed ELF"
	case Gzip:
		return "gzip"
	case Bzip2:
		return "bzip2"
	case LZMA:
		return "lzma"
	case XZ:
		return "xz"
	case LZO:
		return "lzo"
	case LZ4:
		return "lz4 (legacy)"
	case LZ4Frame:
		return "lz4"
	case Zstandard:
		return "zstd"
	}
	return "unknown format"
}

// Supported reports whether a Reader can unpack the format.
func (f Format) Supported() bool {
	return f != Unknown && f != LZO
}
