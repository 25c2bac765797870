package queue

import (
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func newDoorbell(t testing.TB) *Doorbell {
	t.Helper()
	d, err := NewDoorbell()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestDoorbellRingsAddUp(t *testing.T) {
	d := newDoorbell(t)
	d.Ring()
	d.Ring()
	if !d.Wait() {
		t.Fatal("Wait: closed")
	}
	// One Wait took both rings.
	if got := readable(t, d.FD()); got {
		t.Error("a second ring is pending after Wait")
	}
	d.Ring()
	if !d.Wait() {
		t.Fatal("Wait: closed")
	}
}

func readable(t *testing.T, fd int) bool {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func TestDoorbellRingByDescriptor(t *testing.T) {
	d := newDoorbell(t)
	done := make(chan bool)
	go func() { done <- d.Wait() }()
	// As the kernel does for an ioeventfd.
	if _, err := unix.Write(d.FD(), []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Fatal(err)
	}
	if !<-done {
		t.Error("Wait: closed")
	}
}

func TestDoorbellCloseWakesAll(t *testing.T) {
	d := newDoorbell(t)
	const waiters = 4
	var ready, done sync.WaitGroup
	for range waiters {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			for d.Wait() {
				t.Error("Wait: true, and nobody rang")
			}
		})
	}
	ready.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	done.Wait()
	d.Ring() // does nothing
	if d.Wait() {
		t.Error("Wait on a closed doorbell: true")
	}
}

// BenchmarkDoorbell is the time from a ring to the end of a wait and back. Who
// rings is a thread of its own that is in the kernel most of the time, as a
// vCPU is. Who waits does so by a blocking read, as Doorbell has it; by the same
// on a locked thread; or by way of the runtime's poller.
func BenchmarkDoorbell(b *testing.B) {
	b.Run("blocking", func(b *testing.B) {
		bell := newDoorbell(b)
		benchmarkDoorbell(b, bell, bell.Wait)
	})
	b.Run("locked", func(b *testing.B) {
		bell := newDoorbell(b)
		lock := sync.OnceFunc(runtime.LockOSThread)
		benchmarkDoorbell(b, bell, func() bool {
			lock()
			return bell.Wait()
		})
	})
	b.Run("poller", func(b *testing.B) {
		bell := newDoorbell(b)
		fd, err := unix.Dup(bell.FD())
		if err != nil {
			b.Fatal(err)
		}
		if err := unix.SetNonblock(fd, true); err != nil {
			b.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "eventfd")
		defer f.Close()
		var count [8]byte
		benchmarkDoorbell(b, bell, func() bool {
			_, err := f.Read(count[:])
			return err == nil && !bell.closed.Load()
		})
	})
}

func benchmarkDoorbell(b *testing.B, bell *Doorbell, wait func() bool) {
	back := newDoorbell(b)
	var done sync.WaitGroup
	done.Go(func() {
		for wait() {
			back.Ring()
		}
	})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	for b.Loop() {
		bell.Ring()
		if !back.Wait() {
			b.Fatal("closed")
		}
	}
	bell.closed.Store(true)
	bell.add()
	done.Wait()
	bell.closed.Store(false)
}
