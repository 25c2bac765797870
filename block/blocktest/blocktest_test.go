package blocktest_test

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
)

func TestMemory(t *testing.T) {
	data := make([]byte, 4096)
	m := blocktest.NewMemory(data, false)
	defer m.Close()
	if err := block.WriteAt(m, []byte("hello"), 510); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if err := block.ReadAt(m, got, 510); err != nil || string(got) != "hello" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := m.Do(&block.Request{Op: block.WriteZeroes, Offset: 512, Length: 512}); err != nil {
		t.Fatal(err)
	}
	if string(data[510:515]) != "he\x00\x00\x00" {
		t.Errorf("after zeroes: %q", data[510:515])
	}
	if err := block.ReadAt(m, got, 4092); !errors.Is(err, block.ErrOutOfRange) {
		t.Errorf("read over the end: %v", err)
	}
	if err := m.Do(&block.Request{Op: block.Flush, Offset: -5}); err != nil {
		t.Errorf("flush: %v", err)
	}
	var told int64
	m.OnResize(func(size int64) { told = size })
	m.Resize(8192)
	if told != 8192 || m.Size() != 8192 {
		t.Errorf("told of %d, size %d", told, m.Size())
	}
	if err := block.WriteAt(blocktest.NewMemory(data, true), got, 0); !errors.Is(err, block.ErrReadOnly) {
		t.Errorf("write to a read-only disk: %v", err)
	}
	m.Close()
	if err := block.FlushAll(m); !errors.Is(err, block.ErrClosed) {
		t.Errorf("flush after Close: %v", err)
	}
}

func TestRules(t *testing.T) {
	f := blocktest.NewFaulty(blocktest.NewMemory(make([]byte, 64<<10), false))
	defer f.Close()
	f.Add(blocktest.Rule{Op: block.Write, From: 4096, To: 8192, Err: unix.ENOSPC, Times: 2})
	f.Add(blocktest.Rule{Op: block.Flush, Err: unix.EIO})
	sector := bytes.Repeat([]byte{1}, 512)
	for i, tt := range []struct {
		off  int64
		want error
	}{{0, nil}, {4096 - 512, nil}, {4096, unix.ENOSPC}, {8192 - 1, unix.ENOSPC}, {4096, nil}} {
		if err := block.WriteAt(f, sector, tt.off); !errors.Is(err, tt.want) {
			t.Errorf("write %d: %v, want %v", i, err, tt.want)
		}
	}
	if err := block.FlushAll(f); !errors.Is(err, unix.EIO) {
		t.Errorf("flush: %v", err)
	}
	f.Clear()
	if err := block.FlushAll(f); err != nil {
		t.Errorf("flush without rules: %v", err)
	}
	if n := f.Count(block.Write); n != 5 {
		t.Errorf("%d writes counted, want 5", n)
	}
}

func TestHold(t *testing.T) {
	f := blocktest.NewFaulty(blocktest.NewMemory(make([]byte, 64<<10), false))
	defer f.Close()
	release := make(chan struct{})
	f.Add(blocktest.Rule{Op: block.Read, Hold: release, Err: unix.EIO})
	back := make(chan *block.Request, 2)
	q, err := f.NewQueue(block.QueueOptions{Inline: true, Completed: func(done []*block.Request) {
		for _, r := range done {
			back <- r
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	read := &block.Request{Op: block.Read, Vec: [][]byte{make([]byte, 512)}}
	flush := &block.Request{Op: block.Flush}
	q.Submit(read)
	q.Submit(flush)
	q.Kick()
	if r := <-back; r != flush || r.Err != nil {
		t.Errorf("first back is %v, %v", r.Op, r.Err)
	}
	f.WaitHeld(1)
	close(release)
	if r := <-back; r != read || !errors.Is(r.Err, unix.EIO) {
		t.Errorf("second back is %v, %v", r.Op, r.Err)
	}
}
