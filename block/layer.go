package block

// Layer is a store of bytes of which disks are built: a file of the host, an
// export of an NBD server, or an image format or encryption on top of another
// Layer. A [Disk] makes a [Backend] of the topmost.
//
// Methods may be called from any number of goroutines at once. Ranges that
// overlap at the same moment are the caller's concern: the result is then one or
// the other, byte by byte, as on a real disk. Offsets and lengths may be of any
// alignment, also where the store has larger units. A range outside Size is
// ErrOutOfRange, a change to a read-only store ErrReadOnly; other errors wrap a
// host error number (ENOSPC, EIO, ...) or one of this package's errors.
type Layer interface {
	// Size is the size in bytes.
	Size() int64

	// ReadOnly reports whether everything that would change the store fails
	// with ErrReadOnly.
	ReadOnly() bool

	// ReadVec fills vec, whose slices may be the guest's memory, from offset on.
	ReadVec(vec [][]byte, offset int64) error

	// WriteVec writes vec from offset on. A format that grows its file does so
	// here.
	WriteVec(vec [][]byte, offset int64) error

	// WriteZeroes makes length bytes from offset on read as zeroes. With unmap
	// the space may be given back.
	WriteZeroes(offset, length int64, unmap bool) error

	// Discard says that length bytes from offset on are not needed. What is
	// read there afterwards is the old data or zeroes.
	Discard(offset, length int64) error

	// Flush makes durable every write that has returned.
	Flush() error

	// Close flushes nothing that Flush was not asked for, but leaves the image
	// in a state that needs no repair, and closes the layers below.
	Close() error
}

// Resizer is a Layer whose size can be changed, such as the file below a format
// that grows, or an image.
type Resizer interface {
	// Resize makes the store size bytes long. New bytes read as zeroes.
	Resize(size int64) error
}

// Extent is a stretch of a store whose bytes are alike in where they are.
type Extent struct {
	Length int64
	// Zero says that it reads as zeroes, without looking.
	Zero bool
	// Allocated says that this image itself holds it; otherwise it comes from
	// the backing image, or is a hole.
	Allocated bool
}

// Mapper is a Layer that knows where its data is. A copy made with it stays as
// sparse as the original.
type Mapper interface {
	// Map returns the extent that begins at offset, at most length bytes of it
	// and at least one.
	Map(offset, length int64) (Extent, error)
}

// TryReader is a Layer that can tell data which is at hand from data that has to
// be waited for. A [Disk] over it reads what is at hand without changing to
// another thread.
type TryReader interface {
	// TryReadVec is ReadVec if the data is in the host's memory. Otherwise it
	// is false, and nothing has been done but that vec may have been filled in
	// part.
	TryReadVec(vec [][]byte, offset int64) bool
}

// Shaper is a Layer that knows good request sizes.
type Shaper interface {
	// Topology is as in [Backend].
	Topology() Topology
}
