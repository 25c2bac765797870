package qcow2

import (
	"slices"
	"sync"
)

// flights are the clusters of the disk whose entries are being changed. Two
// changes of one cluster come one after the other.
type flights struct {
	mu      sync.Mutex
	landed  sync.Cond
	waiting int
	now     []flight
}

// flight is of clusters by number, both ends included.
type flight struct {
	first, last int64
}

func (f *flights) begin(first, last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for slices.ContainsFunc(f.now, func(o flight) bool { return first <= o.last && o.first <= last }) {
		f.landed.L = &f.mu
		f.waiting++
		f.landed.Wait()
		f.waiting--
	}
	f.now = append(f.now, flight{first, last})
}

func (f *flights) end(first, last int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.now, flight{first, last})
	f.now = slices.Delete(f.now, i, i+1)
	if f.waiting > 0 {
		f.landed.Broadcast()
	}
}
