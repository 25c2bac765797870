package crypt

import (
	"runtime"
	"sync"
)

const (
	// splitSize is the least that is worth another core's while, in bytes: at
	// about 1 GB/s it takes 60 µs, several times what waking a goroutine does.
	splitSize = 64 << 10
	// maxHelpers is how many goroutines a layer has besides those that ask.
	maxHelpers = 3
)

// piece is a part of a transfer, the bytes [from, to) of vec: what one core
// encrypts or decrypts in one go.
type piece struct {
	cipher   *Cipher
	decrypts bool
	vec      [][]byte // its slices are of whole sectors
	from, to int64
	dst      []byte // takes the result, from its first byte on; nil to leave it in vec
	sector   uint64 // the number of the one at from
	done     *sync.WaitGroup
}

func (p *piece) do() {
	skip, sector, dst := p.from, p.sector, p.dst
	left := p.to - p.from
	for _, b := range p.vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		skip = 0
		b = b[:min(int64(len(b)), left)]
		to := b
		if dst != nil {
			to, dst = dst[:len(b)], dst[len(b):]
		}
		if p.decrypts {
			p.cipher.Decrypt(to, b, sector)
		} else {
			p.cipher.Encrypt(to, b, sector)
		}
		sector += uint64(len(b) / SectorSize)
		left -= int64(len(b))
		if left == 0 {
			return
		}
	}
}

// cut takes the first n bytes off, which are whole sectors.
func (p *piece) cut(n int64) piece {
	head := *p
	head.to = p.from + n
	p.from = head.to
	p.sector += uint64(n) / SectorSize
	if p.dst != nil {
		head.dst, p.dst = p.dst[:n], p.dst[n:]
	}
	return head
}

// helpers are goroutines that take pieces of large requests, if they have nothing
// to do: nobody waits for one that is busy. They start with the first request
// that is large.
type helpers struct {
	count int
	work  chan piece // unbuffered: only an idle helper takes
	start sync.Once
	close sync.Once
	ended sync.WaitGroup
	waits sync.Pool // of *sync.WaitGroup
}

func newHelpers() *helpers {
	return &helpers{count: min(runtime.GOMAXPROCS(0)-1, maxHelpers), work: make(chan piece)}
}

func (h *helpers) run() {
	for range h.count {
		h.ended.Go(func() {
			for p := range h.work {
				p.do()
				p.done.Done()
			}
		})
	}
}

// stop ends the goroutines. No request is running any more.
func (h *helpers) stop() {
	h.start.Do(func() {}) // none begins from now on
	h.close.Do(func() { close(h.work) })
	h.ended.Wait()
}

// split does a piece, with the helpers that are idle.
func (h *helpers) split(whole piece) {
	n := whole.to - whole.from
	if h.count == 0 || n < 2*splitSize {
		whole.do()
		return
	}
	h.start.Do(h.run)
	wait, _ := h.waits.Get().(*sync.WaitGroup)
	if wait == nil {
		wait = new(sync.WaitGroup)
	}
	whole.done = wait
	// As many even parts as there are cores.
	parts := min(int64(h.count)+1, n/splitSize)
	size := (n/parts + MaxSectorSize - 1) &^ (MaxSectorSize - 1)
	for whole.to-whole.from > size {
		part := whole.cut(size)
		wait.Add(1)
		select {
		case h.work <- part:
		default:
			part.do()
			wait.Done()
		}
	}
	whole.do()
	wait.Wait()
	h.waits.Put(wait)
}
