package net

import (
	"errors"
	"testing"
)

// ends are the wires to measure: a pair, and two taps on a bridge.
func ends(b *testing.B, f func(b *testing.B, x, y Backend)) {
	b.Run("pair", func(b *testing.B) {
		x, y := newPair(b, PairOptions{})
		f(b, x, y)
	})
	b.Run("tap", func(b *testing.B) {
		x, y := bridgedTaps(b, 1500, 1)
		f(b, x, y)
	})
}

// next receives one frame, waiting for it; false when the queue has ended.
func next(q Queue, buf [][]byte) (n int, ok bool) {
	for {
		n, _, err := q.Receive(buf)
		if err == nil {
			return n, true
		}
		if !errors.Is(err, ErrAgain) || wait(q, ToReceive) != nil {
			return 0, false
		}
	}
}

// BenchmarkPing is the time of one small frame there and one back.
func BenchmarkPing(b *testing.B) {
	ends(b, func(b *testing.B, x, y Backend) {
		f := [][]byte{frame(HeaderSize, 60, 0)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := [][]byte{make([]byte, 2000)}
			for {
				if _, ok := next(y.Queue(0), buf); !ok || y.Queue(0).Send(f) != nil {
					return
				}
			}
		}()
		buf := [][]byte{make([]byte, 2000)}
		b.ReportAllocs()
		for b.Loop() {
			must(b, x.Queue(0).Send(f))
			if _, ok := next(x.Queue(0), buf); !ok {
				b.Fatal("no answer")
			}
		}
		y.Close()
		<-done
	})
}

// BenchmarkStream is the time of one large frame of many, in one direction,
// with at most window of them on their way.
func BenchmarkStream(b *testing.B) {
	const window = 256
	ends(b, func(b *testing.B, x, y Backend) {
		credit := make(chan struct{}, window)
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := [][]byte{make([]byte, 2000)}
			for {
				if _, ok := next(y.Queue(0), buf); !ok {
					return
				}
				<-credit
			}
		}()
		f := split(frame(HeaderSize, 1514, 0), HeaderSize)
		b.SetBytes(1514)
		b.ReportAllocs()
		for b.Loop() {
			credit <- struct{}{}
			for {
				err := x.Queue(0).Send(f)
				if err == nil {
					break
				}
				if !errors.Is(err, ErrAgain) {
					b.Fatal(err)
				}
				must(b, wait(x.Queue(0), ToSend))
			}
		}
		y.Close()
		<-done
	})
}
