package block

// ReadAt reads len(p) bytes at offset off, all of them or an error. It is for
// code that is not on a hot path: the request is made for the call.
func ReadAt(b Backend, p []byte, off int64) error {
	return b.Do(&Request{Op: Read, Offset: off, Vec: [][]byte{p}})
}

// WriteAt writes p at offset off, all of it or an error.
func WriteAt(b Backend, p []byte, off int64) error {
	return b.Do(&Request{Op: Write, Offset: off, Vec: [][]byte{p}})
}

// FlushAll makes durable everything that was written before.
func FlushAll(b Backend) error {
	return b.Do(&Request{Op: Flush})
}
