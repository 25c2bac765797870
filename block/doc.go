// Package block holds the host ends of disks: what a virtio disk, an IDE disk,
// a CD-ROM or a floppy drive reads and writes.
//
// A device is given a [Backend] and knows nothing of files. It does I/O in one
// of two ways:
//
//   - [Backend.Do] carries out one [Request] on the calling goroutine;
//   - a [Queue] takes requests by the batch and hands them back completed, so
//     that many are in flight at once.
//
// Requests carry guest memory as byte slices, which the kernel fills or reads
// directly: nothing is copied, and in steady state nothing is allocated. Only a
// request that O_DIRECT cannot take as it is (see [CacheNone]) goes through a
// buffer.
//
// [Open] opens raw images and host block devices. The other formats and sources
// are each a [Layer], in a package below this one, and [NewDisk] makes a back
// end of the topmost. Caching, I/O engine and locking follow the words of the domain XML's
// <driver cache= io=>, <readonly/> and <shareable/>.
//
// # Speed
//
// A queue that serves one virtqueue does what the host's page cache can take or
// give on the goroutine that submits, which costs 1 to 4 µs for 4 KiB; a change
// to another thread and back would add 10 to 30 µs. What has to wait for the
// host's disk is done by io_uring or a set of threads, whichever measured better
// for the cache mode ([EngineDefault]). BenchmarkQueue has the figures.
//
// # Durability
//
// A completed write is seen by every later read. That of a raw image is also
// seen by other processes of the host, and outlives this one; formats that keep
// tables write those with the next flush. It outlives a failure of the host only
// after a later [Flush] has completed, or at once while the write cache is off
// ([Backend.WriteCache]).
//
// # Left out
//
// Throttling, and detection of zeroes in written data.
package block
