package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/virtio/balloon"
	"github.com/govmm/govmm/virtio/rng"
)

// ErrNoBalloon is the answer to a request that only a machine with a memory
// balloon can fulfil.
var ErrNoBalloon = errors.New("the domain has no memory balloon")

// addBalloon adds the memory balloon, which starts with the domain's
// currentMemory as its target.
func (m *Machine) addBalloon(context.Context) error {
	for i, b := range m.domain.Devices.MemBalloons {
		if b.Model == "none" {
			continue
		}
		name := fmt.Sprintf("balloon%d", i)
		device, err := balloon.New(balloon.Options{
			Name:              name,
			Memory:            m.ram,
			Clock:             m.clock,
			Target:            min(m.domain.CurrentMemory.Bytes(), ramSize(m.domain)),
			DeflateOnOOM:      b.AutoDeflate == domcfg.On,
			FreePageReporting: b.FreePageReporting == domcfg.On,
			StatsInterval:     time.Duration(b.StatsPeriod) * time.Second,
			Changed: func(actual uint64) {
				m.events.publish(Event{Kind: EventBalloon, Memory: actual})
			},
			Log: m.named(name),
		})
		if err != nil {
			return fmt.Errorf("devices/memballoon: %w", err)
		}
		m.board.balloon = device
		if err := m.addVirtio(name, b.Address, device, virtioOptions{}); err != nil {
			return fmt.Errorf("devices/memballoon: %w", err)
		}
	}
	return nil
}

// SetMemory asks the guest to make do with so many bytes of memory, by way of
// the balloon. It returns at once; EventBalloon tells how far the guest has come.
func (m *Machine) SetMemory(bytes uint64) error {
	if m.board.balloon == nil {
		return ErrNoBalloon
	}
	return m.board.balloon.SetTarget(bytes)
}

// Memory is how many bytes of memory the guest has now, the balloon taken off.
func (m *Machine) Memory() uint64 {
	if m.board.balloon == nil {
		return ramSize(m.domain)
	}
	return m.board.balloon.Actual()
}

// MemoryStats is how the guest uses its memory, as its balloon driver says: amounts in
// bytes, and numbers of events. A guest gives those that it knows.
type MemoryStats map[balloon.Tag]uint64

// MemoryStats asks the guest how it uses its memory, and waits for its answer or for ctx.
// The error is ErrNoBalloon, or that no driver in the guest gives statistics, or the cause
// of ctx.
func (m *Machine) MemoryStats(ctx context.Context) (MemoryStats, error) {
	if m.board.balloon == nil {
		return nil, ErrNoBalloon
	}
	s, err := m.board.balloon.Stats(ctx)
	if err != nil {
		return nil, err
	}
	return maps.Collect(s.All()), nil
}

// addEntropy adds the entropy devices.
func (m *Machine) addEntropy(context.Context) error {
	for i, r := range m.domain.Devices.Rngs {
		if err := m.addRng(r, fmt.Sprintf("rng%d", i)); err != nil {
			return fmt.Errorf("devices/rng[%d]: %w", i+1, err)
		}
	}
	return nil
}

func (m *Machine) addRng(r *domcfg.Rng, name string) error {
	o := rng.Options{Name: name, Clock: m.clock, Log: m.named(name)}
	if r.Backend.Model == domcfg.RngRandom && r.Backend.Path != "" {
		f, err := os.Open(r.Backend.Path)
		if err != nil {
			return err
		}
		m.closer.add(f.Close)
		o.Source = io.Reader(f)
	}
	if r.Rate != nil {
		period := time.Duration(r.Rate.Period) * time.Millisecond
		if period == 0 {
			period = time.Second
		}
		o.Limit = rng.Limit{Bytes: uint64(r.Rate.Bytes), Period: period}
	}
	device, err := rng.New(o)
	if err != nil {
		return err
	}
	return m.addVirtio(name, r.Address, device, virtioOptions{})
}
