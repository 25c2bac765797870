package vmm_test

import (
	"strings"
	"testing"

	"github.com/govmm/govmm/vmm"
)

// Limits on a process that has other machines are refused, and those that are none are none.
func TestLimitsNeedProcess(t *testing.T) {
	for _, tt := range []struct{ more, want string }{
		{"<memtune><hard_limit>1048576</hard_limit></memtune>", "vm.xml:3:10: memtune/hard_limit: limits hold for a whole process"},
		{"<memtune><min_guarantee>1024</min_guarantee></memtune>", "vm.xml:3:10: memtune/min_guarantee: limits hold for a whole process"},
		{"<blkiotune><weight>500</weight></blkiotune>", "vm.xml:3:12: blkiotune/weight: limits hold for a whole process"},
		{"<cputune><shares>1024</shares></cputune>", "vm.xml:3:10: cputune/shares: limits hold for a whole process"},
		{"<memtune><hard_limit>9007199254740991</hard_limit></memtune>", ""},
		{"<memtune/><cputune/>", ""},
	} {
		m, err := vmm.New(deadline(t), placedDomain(t, "<vcpu>1</vcpu>", tt.more), vmm.Options{})
		if err == nil {
			m.Close()
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.more, err, tt.want)
		}
	}
}
