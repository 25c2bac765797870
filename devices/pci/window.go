package pci

import (
	"slices"
	"sync"

	"github.com/govmm/govmm/devices/bus"
)

// window is a range that the guest moves about: a BAR, or the registers of a
// bridge.
type window struct {
	target  *bus.Bus
	name    string
	size    uint64
	handler bus.Handler
	moved   func(base uint64, mapped bool)

	base   uint64
	wanted bool // the guest has enabled it
	mapped bool
}

// windows maps the windows of all functions on a bus. When the guest puts one
// on top of something else, it stays unmapped until the space is free: a guest
// that swaps two BARs gets there by way of such an overlap.
type windows struct {
	log *bus.GuestLog

	mu      sync.Mutex
	blocked []*window // wanted but not mapped, the longest waiting first
}

// place puts w at base, or unmaps it if it is not enabled.
func (ws *windows) place(w *window, base uint64, enabled bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.wanted == enabled && (!enabled || w.base == base) {
		return
	}
	freed := w.mapped
	if w.wanted && !w.mapped {
		ws.blocked = slices.DeleteFunc(ws.blocked, func(o *window) bool { return o == w })
	}
	old := w.base
	w.base, w.wanted = base, enabled
	if enabled {
		ws.remap(w, old)
	} else {
		ws.unmap(w, old)
	}
	if freed {
		ws.retry()
	}
}

// remap maps w at its base, away from where it was mapped before.
func (ws *windows) remap(w *window, old uint64) {
	var err error
	switch {
	case w.handler == nil:
	case w.mapped:
		err = w.target.Move(old, w.base)
	default:
		err = w.target.Add(w.base, w.size, w.name, w.handler)
	}
	if err == nil {
		w.mapped = true
		w.tell()
		return
	}
	if ws.log.Allow() {
		ws.log.Warn("the guest put a range where it cannot answer", "range", w.name, "error", err)
	}
	ws.unmap(w, old)
	ws.blocked = append(ws.blocked, w)
}

func (ws *windows) unmap(w *window, old uint64) {
	if !w.mapped {
		return
	}
	if w.handler != nil {
		// It is there: only this function maps and unmaps it.
		_ = w.target.Remove(old)
	}
	w.mapped = false
	w.tell()
}

// retry maps the windows that waited for the space that was freed.
func (ws *windows) retry() {
	ws.blocked = slices.DeleteFunc(ws.blocked, func(w *window) bool {
		if err := w.target.Add(w.base, w.size, w.name, w.handler); err != nil {
			return false
		}
		w.mapped = true
		w.tell()
		return true
	})
}

func (w *window) tell() {
	if w.moved != nil {
		w.moved(w.base, w.mapped)
	}
}
