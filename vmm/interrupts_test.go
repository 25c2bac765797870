package vmm

import (
	"testing"
	"testing/fstest"
)

// Only a processor that is known to end interrupts by itself counts as one.
func TestAVIC(t *testing.T) {
	for text, want := range map[string]bool{"Y\n": true, "1\n": true, "-1\n": true, "N\n": false, "0\n": false} {
		host := fstest.MapFS{"module/kvm_amd/parameters/avic": {Data: []byte(text)}}
		if got := avic(host); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if avic(fstest.MapFS{}) {
		t.Error("without the module")
	}
}
