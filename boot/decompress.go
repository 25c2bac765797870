package boot

import "github.com/govmm/govmm/boot/payload"

// Decompress says who unpacks the kernel in a bzImage: the guest, with the
// decompressor that is part of it, or the host, which then starts the kernel
// proper. The host also takes over the layout randomisation, which is the
// decompressor's work otherwise.
//
// The automatic choice goes by these times, for the vmlinux of a Debian 12
// cloud kernel (6.1, 53 MB, already in the page cache) on one AMD EPYC machine
// with two cores: the Go decoder into memory that was touched before, and the C
// tool of the same format, which the guest's decompressor resembles at best.
//
//	format  packed   Go here    C tool    automatic choice
//	lz4     14.1 MB     6 ms     10 ms    host
//	zstd     9.2 MB    65 ms    100 ms    host
//	gzip    10.8 MB   127 ms    260 ms    host
//	xz       7.8 MB   684 ms    520 ms    guest
//	lzma     8.4 MB   987 ms    510 ms    guest
//	bzip2   11.2 MB  1800 ms   1650 ms    guest
//	lzo     12.8 MB        -    110 ms    guest, always
//
// Where the guest's kernel code is interpreted (Config.GuestSlow) the host
// unpacks whatever it can.
type Decompress uint8

// The choices.
const (
	DecompressAuto   Decompress = iota // by the table above
	DecompressAlways                   // by the host; an error if it cannot
	DecompressNever                    // by the guest
)

func (d Decompress) String() string {
	switch d {
	case DecompressAuto:
		return "auto"
	case DecompressAlways:
		return "always"
	case DecompressNever:
		return "never"
	}
	return "unknown"
}

// onHost tells whether the host is to unpack a payload that it can unpack.
func (d Decompress) onHost(f payload.Format, guestSlow bool) bool {
	switch {
	case d != DecompressAuto:
		return d == DecompressAlways
	case guestSlow:
		return true
	}
	switch f {
	case payload.ELF, payload.LZ4, payload.Zstandard, payload.Gzip:
		return true
	}
	return false
}
