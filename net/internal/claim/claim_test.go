package claim

import (
	"strings"
	"testing"
)

func TestClaim(t *testing.T) {
	a, err := New()
	if err != nil {
		t.Fatal(err)
	}
	b, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.Mark() == b.Mark() {
		t.Errorf("two claims have the mark %s", a.Mark())
	}
	if len(a.Mark()) != 15 {
		t.Errorf("the mark %s cannot be the name of an interface, or is shorter than one", a.Mark())
	}
	if Abandoned(a.Mark()) {
		t.Error("a claim that is held is taken for abandoned")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // to ask does not take it
		if !Abandoned(a.Mark()) {
			t.Error("a claim that was given up is not abandoned")
		}
	}
	for _, other := range []string{"", "govmm", "vnet0", "govmmtest0", "govmm12345678xx", strings.ToUpper(a.Mark()), a.Mark() + "0"} {
		if Abandoned(other) {
			t.Errorf("%q is taken for a mark", other)
		}
	}
}
