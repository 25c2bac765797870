package block

import (
	"bytes"
	"fmt"
	"testing"
)

// TestDurable writes to a loop device. What is durable for the device stands
// in the file below it; what is not is still in the device's page cache, which
// a reader of the file does not see.
func TestDurable(t *testing.T) {
	const size = 1 << 20
	for _, tt := range []struct {
		name   string
		cache  Cache
		toggle bool // turn the guest's write cache off
		flush  bool
	}{
		{"writethrough", CacheWritethrough, false, false},
		{"writeback, write cache off", CacheWriteback, true, false},
		{"writeback, flush", CacheWriteback, false, true},
		{"none, write cache off", CacheNone, true, false},
		{"none, flush", CacheNone, false, true},
	} {
		for _, engine := range []Engine{EngineThreads, EngineNative} {
			for _, inline := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%v/inline %v", tt.name, engine, inline), func(t *testing.T) {
					file := makeImage(t, t.TempDir(), size)
					want := pattern(size)
					d := openDisk(t, Options{Path: loopDevice(t, file, 4096, false), Cache: tt.cache, Engine: engine})
					w := newWaiter(t, d, inline)
					if tt.toggle {
						// What was written before must be durable too.
						r := &Request{Op: Write, Offset: 512 << 10, Vec: [][]byte{bytes.Repeat([]byte{0xEE}, 4096)}}
						w.do([]*Request{r})
						if err := d.SetWriteCache(false); err != nil {
							t.Fatal(err)
						}
						copy(want[512<<10:], r.Vec[0])
						firstDifference(t, readFile(t, file, size), want)
					}
					for i, r := range []*Request{
						{Op: Write, Offset: 4096, Vec: [][]byte{bytes.Repeat([]byte{0xAA}, 8192)}},
						{Op: Write, Offset: 100 * 1024, Vec: [][]byte{bytes.Repeat([]byte{0xBB}, 512)}},
						{Op: WriteZeroes, Offset: 200*1024 + 512, Length: 16 << 10},
						{Op: WriteZeroes, Offset: 300 * 1024, Length: 16 << 10, Unmap: true},
					} {
						batch := []*Request{r}
						w.do(batch)
						if tt.flush {
							batch = []*Request{{Op: Flush}}
							w.do(batch)
						}
						if r.Err != nil || batch[0].Err != nil {
							t.Fatalf("request %d: %v, %v", i, r.Err, batch[0].Err)
						}
						if r.Op == Write {
							copy(want[r.Offset:], r.Vec[0])
						} else {
							clear(want[r.Offset : r.Offset+r.Length])
						}
						firstDifference(t, readFile(t, file, size), want)
					}
				})
			}
		}
	}
}
