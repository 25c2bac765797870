package guest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const sample = `SeaBIOS (version 1.16.2)
ok boot entry = pvh
= boot cmdline test=boot exit=debug
not ok pit mode0: OUT: stays low
ok pit mode3
done 2 ok, 1 not ok
`

func TestParseOutput(t *testing.T) {
	r, err := ParseOutput(strings.NewReader(strings.ReplaceAll(sample, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := []Result{
		{OK, "boot", "entry", "pvh"},
		{Value, "boot", "cmdline", "test=boot exit=debug"},
		{NotOK, "pit", "mode0", "OUT: stays low"},
		{OK, "pit", "mode3", ""},
	}
	if !slices.Equal(r.Results, want) {
		t.Errorf("results %q, want %q", r.Results, want)
	}
	if !r.Done || r.OK != 2 || r.NotOK != 1 {
		t.Errorf("done %v, %d ok, %d not ok", r.Done, r.OK, r.NotOK)
	}
	if !slices.Equal(r.Other, []string{"SeaBIOS (version 1.16.2)"}) {
		t.Errorf("other lines %q", r.Other)
	}
	if err := r.Err(); err == nil || err.Error() != "not ok pit mode0: OUT: stays low" {
		t.Errorf("Err() = %v", err)
	}
	if x, ok := r.Lookup("boot", "entry"); !ok || x.Detail != "pvh" {
		t.Errorf("Lookup = %v, %v", x, ok)
	}
	if _, ok := r.Lookup("boot", "nothing"); ok {
		t.Error("Lookup found what is not there")
	}
}

func TestReportErr(t *testing.T) {
	for _, tt := range []struct{ name, output, want string }{
		{"passed", "ok a b\ndone 1 ok, 0 not ok\n", ""},
		{"silent", "", `the kernel did not come to its end; the last it said was ""`},
		{"stopped", "ok a b = c\n", `the kernel did not come to its end; the last it said was "ok a b = c"`},
		{"only firmware", "BIOS\n", `the kernel did not come to its end; the last it said was "BIOS"`},
		{"lost line", "ok a b\ndone 2 ok, 0 not ok\n", "1 ok and 0 not ok lines arrived, the kernel counted 2 and 0"},
		{"no test", "= a b c\ndone 0 ok, 0 not ok\n", "nothing was tested"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseOutput(strings.NewReader(tt.output))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := r.Err(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Err() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseOutputLimits(t *testing.T) {
	if _, err := ParseOutput(strings.NewReader(strings.Repeat("x", maxLine+1))); err == nil {
		t.Error("a line without end was accepted")
	}
	r, err := ParseOutput(strings.NewReader(strings.Repeat("ok a b\n", maxLines+1)))
	if err == nil || len(r.Results) != maxLines {
		t.Errorf("%d results, error %v", len(r.Results), err)
	}
}

func TestCompare(t *testing.T) {
	parse := func(s string) *Report {
		r, err := ParseOutput(strings.NewReader(s))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := parse("= a same 1\n= a other 2\n= a lost 3\n= b free 4\n= c free 5\n= d twice 1\n= d twice 2\nok a x = 1\n")
	got := parse("= a same 1\n= a other 9\n= b free 8\n= c free 8\n= d twice 1\n= d twice 2\n= a more 6\nok a x = 2\n")
	wantDifferences := []string{
		`a other: want "2", got "9"`,
		`a lost: want "3", not printed`,
		`a more: got "6", want none`,
	}
	if d := Compare(want, got, "b", "c free"); !slices.Equal(d, wantDifferences) {
		t.Errorf("Compare = %q, want %q", d, wantDifferences)
	}
	if d := Compare(want, want); d != nil {
		t.Errorf("a report differs from itself: %q", d)
	}
}

func FuzzParseOutput(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("ok  \n= \nnot ok a\n= a b\ndone 1 ok, x not ok\n"))
	f.Fuzz(func(t *testing.T, output []byte) {
		r, err := ParseOutput(bytes.NewReader(output))
		if err != nil {
			return
		}
		_ = r.Err()
		for _, x := range r.Results {
			again, ok := parseLine(x.String())
			if !ok || again != x {
				t.Errorf("%+v prints as %q, which reads as %+v, %v", x, x.String(), again, ok)
			}
		}
		if d := Compare(r, r); d != nil {
			t.Errorf("differs from itself: %q", d)
		}
	})
}
