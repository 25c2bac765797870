package domcfg

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testRandom is the randomness of tests: a UUID made of it is always the same.
func testRandom() *strings.Reader { return strings.NewReader("0123456789abcdef") }

// corpus returns the realistic domains of testdata.
func corpus(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.xml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 35 {
		t.Fatalf("found only %d domains in testdata/corpus", len(files))
	}
	return files
}

func format(t testing.TB, d *Domain) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.Format(&b); err != nil {
		t.Fatalf("Format: %v", err)
	}
	return b.String()
}

// equal compares two domains except for where they were read.
func equal(a, b *Domain) bool { return equalValues(reflect.ValueOf(a), reflect.ValueOf(b)) }

func equalValues(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return equalValues(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equalValues(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if x, ok := a.Addr().Interface().(*Elem); ok {
			return equalExtras(x.extras, b.Addr().Interface().(*Elem).extras)
		}
		for i := range a.NumField() {
			if !equalValues(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Array:
		return a.Equal(b)
	}
	return a.Equal(b)
}

func equalExtras(a, b map[string]*extra) bool {
	if len(a) != len(b) {
		return false
	}
	for key, x := range a {
		y := b[key]
		if y == nil {
			return false
		}
		if !(&node{attrs: x.attrs, children: x.children, text: x.text}).same(&node{attrs: y.attrs, children: y.children, text: y.text}) {
			return false
		}
	}
	return true
}

// checkIdentity checks that Format and Parse are each other's inverse for the domain.
func checkIdentity(t testing.TB, d *Domain) {
	t.Helper()
	text := format(t, d)
	again, _, err := Parse("formatted.xml", strings.NewReader(text))
	if err != nil {
		t.Fatalf("what Format wrote is refused: %v\n%s", err, text)
	}
	if !equal(d, again) {
		t.Fatalf("the domain changed on its way through Format and Parse:\n%s\nbecame\n%s", text, format(t, again))
	}
	if twice := format(t, again); twice != text {
		t.Fatalf("Format is not idempotent:\n%s\nbecame\n%s", text, twice)
	}
}

// TestCorpus parses realistic domains, checks the identity for what was written as well as for
// what it was completed to, and compares warnings, refusals and the completed XML with golden
// files.
func TestCorpus(t *testing.T) {
	for _, file := range corpus(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d, warnings, err := Parse(filepath.Base(file), bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			checkIdentity(t, d)
			if err := d.Validate(); err != nil {
				t.Errorf("Validate: %v", err)
			}
			var out strings.Builder
			for _, w := range warnings {
				out.WriteString("warning: " + w.String() + "\n")
			}
			if err := d.SetDefaults(testRandom()); err != nil {
				t.Fatal(err)
			}
			if err := d.AssignAddresses(); err != nil {
				t.Fatal(err)
			}
			for _, r := range Unsupported(d) {
				out.WriteString("refused: " + r.String() + "\n")
			}
			checkIdentity(t, d)
			if err := d.Validate(); err != nil {
				t.Errorf("Validate of the completed domain: %v", err)
			}
			completed := format(t, d)
			out.WriteString(completed)
			if err := d.SetDefaults(nil); err != nil {
				t.Errorf("SetDefaults a second time: %v", err)
			}
			if err := d.AssignAddresses(); err != nil {
				t.Errorf("AssignAddresses a second time: %v", err)
			}
			if again := format(t, d); again != completed {
				t.Errorf("completing twice changes the domain:\n%s\nbecame\n%s", completed, again)
			}
			compareGolden(t, strings.TrimSuffix(file, ".xml")+".golden", out.String())
		})
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is missing; go test -update writes it", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; go test -update writes it anew. Got:\n%s", file, got)
	}
}
