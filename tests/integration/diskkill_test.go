package integration

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/govmm/govmm/block"
)

// TestKillKeepsFlushed kills govmm while its guest writes to disks of all cache
// modes. What the guest had flushed is in the images, which are free to be
// opened again.
func TestKillKeepsFlushed(t *testing.T) {
	const (
		recordSize = 16 << 10 // of testinit's journal
		records    = gib / recordSize
		enough     = 25 // records on each disk
	)
	dir := directory(t, 4*gib)
	devices, names := "<serial type='stdio'/>", ""
	files := map[string]string{} // by the device's name in the guest
	for i, cache := range []string{"writeback", "writethrough", "none"} {
		d := disk{dev: "vd" + string(rune('a'+i)), file: sparse(t, dir, cache, gib), driver: "cache='" + cache + "'"}
		devices += d.xml()
		names += " /dev/" + d.dev
		files["/dev/"+d.dev] = d.file
	}
	c := run(t, domain{initrd: cloudVirtio, cmdline: obeying, devices: devices})
	c.ready()
	c.tell("journal %d%s", records, names)
	for name := range files {
		c.contains(fmt.Sprintf(`init: flushed %s %d\r\n`, name, enough))
	}
	c.signal(os.Kill)
	<-c.exited

	last := map[string]int{}
	for _, line := range regexp.MustCompile(`init: flushed (\S+) (\d+)\r\n`).FindAllStringSubmatch(c.out.String(), -1) {
		n, err := strconv.Atoi(line[2])
		must(t, err)
		last[line[1]] = n
	}
	for name, file := range files {
		t.Logf("%s: %d records were flushed", file, last[name]+1)
		if last[name] < enough {
			t.Errorf("%s: the last record that was flushed is %d", file, last[name])
		}
		for n := range last[name] + 1 {
			checkStream(t, file, int64(n)*recordSize, recordSize, uint64(n))
			if t.Failed() {
				t.Fatalf("%s: record %d of %d that were flushed is not there", file, n, last[name]+1)
			}
		}
		again, err := block.Open(t.Context(), block.Options{Path: file})
		must(t, err)
		must(t, again.Close())
	}
}
