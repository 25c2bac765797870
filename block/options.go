package block

import (
	"context"
	"log/slog"
)

// Cache is how the host caches a disk, as in the XML's <driver cache=>.
type Cache uint8

const (
	// CacheDefault is CacheWriteback, as in QEMU since 1.2.
	CacheDefault Cache = iota
	// CacheNone bypasses the host's page cache with O_DIRECT. The disk's own
	// write cache stays, so the guest has a write cache and must flush.
	// Requests whose offset, length or memory the host cannot take for direct
	// I/O go through an aligned buffer.
	CacheNone
	// CacheWritethrough uses the host's page cache for reading; a write is
	// complete when it is durable. The guest sees no write cache.
	CacheWritethrough
	// CacheWriteback uses the host's page cache. The guest has a write cache
	// and must flush.
	CacheWriteback
)

var cacheNames = [...]string{"default", "none", "writethrough", "writeback"}

// String is the XML's word.
func (c Cache) String() string {
	if int(c) < len(cacheNames) {
		return cacheNames[c]
	}
	return "unknown cache mode"
}

// Engine is how requests of a queue are carried out, as in <driver io=>.
type Engine uint8

const (
	// EngineDefault is EngineNative with CacheNone, where it is two to three
	// times as fast with many requests in flight, and EngineThreads otherwise.
	EngineDefault Engine = iota
	// EngineThreads has a bounded set of threads do system calls that wait.
	EngineThreads
	// EngineNative has the kernel do many requests at once through io_uring,
	// in any cache mode (QEMU wants CacheNone with it). Where the kernel has or
	// allows no io_uring, Open says so in the log and takes EngineThreads.
	EngineNative
)

var engineNames = [...]string{"default", "threads", "native"}

// String is the XML's word.
func (e Engine) String() string {
	if int(e) < len(engineNames) {
		return engineNames[e]
	}
	return "unknown engine"
}

// Options say how to open an image or a host block device.
type Options struct {
	// Path is the file or the device. It is never looked into for a format.
	Path string

	Cache  Cache
	Engine Engine

	// ReadOnly opens it for reading alone.
	ReadOnly bool

	// Shareable lets others write to it at the same time, who must be
	// shareable too. Without it one writer excludes all others.
	Shareable bool

	// Unlocked takes no lock and heeds none, for looking at an image that is in
	// use. It needs ReadOnly. What is read may be nonsense.
	Unlocked bool

	// Threads is the greatest number of threads of EngineThreads.
	// 0 is DefaultThreads, the most is MaxThreads.
	Threads int

	// Log takes what is worth knowing and is no error. Nil discards it.
	Log *slog.Logger
}

// Numbers of threads that one disk may use.
const (
	DefaultThreads = 16
	MaxThreads     = 64
)

// Open opens a raw image or a host block device. The context is only for the
// opening. An error names the path and what to do about it.
func Open(ctx context.Context, o Options) (*Raw, error) {
	return openRaw(ctx, o)
}
