package blocktest

import (
	"sync"

	"github.com/govmm/govmm/block"
)

// Memory is a disk in memory.
type Memory struct {
	workers  *block.Workers
	readOnly bool

	mu         sync.RWMutex
	data       []byte
	writeCache bool
	closed     bool
	onResize   func(int64)

	queueMu sync.Mutex
	queues  []block.Queue
	once    sync.Once
	err     error
}

var _ block.Backend = (*Memory)(nil)

// NewMemory makes a disk whose content is data, which it uses. The length is a
// multiple of block.SectorSize.
func NewMemory(data []byte, readOnly bool) *Memory {
	return &Memory{workers: block.NewWorkers(0), data: data, readOnly: readOnly, writeCache: true}
}

// Size implements [block.Backend].
func (m *Memory) Size() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return int64(len(m.data))
}

// ReadOnly implements [block.Backend].
func (m *Memory) ReadOnly() bool { return m.readOnly }

// Topology implements [block.Backend].
func (m *Memory) Topology() block.Topology {
	return block.Topology{LogicalBlockSize: block.SectorSize, PhysicalBlockSize: block.SectorSize, DiscardGranularity: block.SectorSize}
}

// WriteCache implements [block.Backend].
func (m *Memory) WriteCache() bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.writeCache
}

// SetWriteCache implements [block.Backend].
func (m *Memory) SetWriteCache(on bool) error {
	m.mu.Lock()
	m.writeCache = on
	m.mu.Unlock()
	return nil
}

// OnResize implements [block.Backend].
func (m *Memory) OnResize(f func(size int64)) {
	m.mu.Lock()
	m.onResize = f
	m.mu.Unlock()
}

// Resize makes the disk longer or shorter, and tells the OnResize function.
func (m *Memory) Resize(size int64) {
	m.mu.Lock()
	data := make([]byte, size)
	copy(data, m.data)
	m.data = data
	f := m.onResize
	m.mu.Unlock()
	if f != nil {
		f(size)
	}
}

// Do implements [block.Backend].
func (m *Memory) Do(r *block.Request) error {
	if err := m.do(r); err != nil {
		r.Err = &block.RequestError{Path: "memory", Op: r.Op, Offset: r.Offset, Length: r.Bytes(), Err: err}
	}
	return r.Err
}

func (m *Memory) do(r *block.Request) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return block.ErrClosed
	}
	if err := r.Check(int64(len(m.data)), m.readOnly); err != nil {
		return err
	}
	if r.Op == block.Flush {
		return nil
	}
	at := m.data[r.Offset:]
	switch r.Op {
	case block.Read:
		for _, b := range r.Vec {
			at = at[copy(b, at):]
		}
	case block.Write:
		for _, b := range r.Vec {
			at = at[copy(at, b):]
		}
	case block.Discard, block.WriteZeroes:
		clear(at[:r.Length])
	}
	return nil
}

// NewQueue implements [block.Backend].
func (m *Memory) NewQueue(o block.QueueOptions) (block.Queue, error) {
	q, err := m.workers.NewQueue(m.Do, o)
	if err != nil {
		return nil, err
	}
	m.queueMu.Lock()
	m.queues = append(m.queues, q)
	m.queueMu.Unlock()
	return q, nil
}

// Close implements [block.Backend].
func (m *Memory) Close() error {
	m.once.Do(func() {
		m.err = closeAll(&m.queueMu, &m.queues, m.workers)
		m.mu.Lock()
		m.closed = true
		m.mu.Unlock()
	})
	return m.err
}
