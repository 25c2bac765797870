package bootloader

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParseAnswer(t *testing.T) {
	k, kr, kra := answer{kernel: "/k"}, answer{kernel: "/k", ramdisk: "/r"}, answer{kernel: "/k", ramdisk: "/r", args: "root=/dev/xvda ro"}
	for _, test := range []struct {
		text string
		want answer
	}{
		// What pygrub prints, older and newer.
		{`linux (kernel /k)(ramdisk /r)(args "root=/dev/xvda ro")`, kra},
		{`linux (kernel /k)(ramdisk /r)(args 'root=/dev/xvda ro')`, kra},
		{"linux (kernel /k)", k},
		{"linux (kernel /k)(ramdisk /r)", kr},
		{"kernel /k\nramdisk /r\nargs root=/dev/xvda ro\n\n", kra},
		{"kernel /k\n\n", k},
		{"kernel /k\x00ramdisk /r\x00args root=/dev/xvda ro\x00\x00", kra},
		{"kernel /k\x00\x00", k},
		// What other programs print.
		{"linux (kernel /k)(ramdisk /r)(args root=/dev/xvda ro)\n", kra},
		{"linux\n (kernel  /k )\n (ramdisk /r)\t(args 'root=/dev/xvda ro' )", kra},
		{"(linux (kernel /k) (ramdisk /r) (args \"root=/dev/xvda ro\"))\n", kra},
		{"linux(kernel /k)(ramdisk /r)", kr},
		{`linux (kernel "/k")(ramdisk '/r')`, kr},
		{"kernel /k\r\nramdisk\t/r\r\n", kr},
		{"kernel /k\nramdisk /r", kr},
		{"kernel /k\x00ramdisk /r", kr},
		{"args a\nkernel /x\nkernel /k\nargs root=/dev/xvda ro\nramdisk /r\n", kra},
		// Characters of meaning.
		{`linux (kernel /k)(args 'a=\'b\' c="d" \\ \x41\t')`, answer{kernel: "/k", args: `a='b' c="d" \ A` + "\t"}},
		{`linux (kernel /k)(args "it's (one) \n")`, answer{kernel: "/k", args: "it's (one) \n"}},
		{`linux (kernel /k)(args a="b c" d)`, answer{kernel: "/k", args: `a="b c" d`}},
		{`linux (kernel /k)(args "")`, k},
		{`linux (kernel /k)(args)`, k},
		{"kernel /with blank\nargs  a  b \n", answer{kernel: "/with blank", args: "a  b "}},
		{"kernel /line\nfeed\x00", answer{kernel: "/line\nfeed"}},
		{"kernel\n", answer{}},
		// Things unknown.
		{"kernel /k\nentry 3\nkernels /x\n", answer{kernel: "/k", unknown: []string{"entry 3", "kernels /x"}}},
		{"linux (kernel /k)(entry 3 4)", answer{kernel: "/k", unknown: []string{"entry 3 4"}}},
		{"linuxes are fine\n", answer{unknown: []string{"linuxes are fine"}}},
	} {
		got, err := parseAnswer([]byte(test.text))
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
		} else if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q is %+v, want %+v", test.text, got, test.want)
		}
	}
}

func TestParseAnswerRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "is empty",
		" \n\t\n":                       "is empty",
		strings.Repeat("x", 64<<10+1):   "longer than 65536",
		"(netbsd (kernel /k))":          "does not begin with the word linux",
		"(":                             "does not begin with the word linux",
		"linux (kernel /k":              "parenthesis that is not closed",
		"linux (":                       "parenthesis that is not closed",
		"(linux (kernel /k)":            "parenthesis that is not closed",
		"linux (kernel /k))":            `goes on with ")"`,
		"linux (kernel /k) x":           `goes on with "x"`,
		"linux ()":                      `has ')' where a word should be`,
		"linux (kernel (a))":            `has '(' where a word should be`,
		`linux (args "a)`:               "string that is not closed",
		`linux (args "a\`:               "string that is not closed",
		`linux (args "a\q")`:            `unknown escape \q`,
		`linux (args "a\x4")`:           `unknown escape \x`,
		`linux (args "a\x`:              `unknown escape \x`,
		`linux (args "root=x a="b c"")`: `has 'b' right after a string`,
	} {
		_, err := parseAnswer([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: error %v, want one with %q", text, err, want)
		}
	}
}

// TestErrorsKeepPaths checks that the files named before a mistake are known, to
// be removed.
func TestErrorsKeepPaths(t *testing.T) {
	a, err := parseAnswer([]byte("linux (kernel /k)(ramdisk /r)(args 'x)"))
	if err == nil || a.kernel != "/k" || a.ramdisk != "/r" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                           nil,
		" \t\n":                      nil,
		"--append single":            {"--append", "single"},
		"  -a\t-b\n-c ":              {"-a", "-b", "-c"},
		`--args="root=/dev/sda1 ro"`: {"--args=root=/dev/sda1 ro"},
		`'a "b' "c 'd"`:              {`a "b`, "c 'd"},
		`a\ b \"c \\`:                {"a b", `"c`, `\`},
		`"a\"b\\c\d"`:                {`a"b\c\d`},
		`'a\'`:                       {`a\`},
		`'' "" x`:                    {"", "", "x"},
		"#a b #c":                    {"#a", "b", "#c"},
		"$HOME *":                    {"$HOME", "*"},
	} {
		got, err := splitWords(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`'a`, `"a`, `a\`, `"a\`, `a'b"`} {
		if got, err := splitWords(text); err == nil {
			t.Errorf("%q is %q, not an error", text, got)
		}
	}
}

// FuzzParseAnswer checks that an answer is refused, or means the same when it is
// written anew in each form that can hold it.
func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{
		`linux (kernel /k)(ramdisk /r)(args "root=/dev/xvda ro")`, `(linux (kernel '/k\x41') (args a b="c"))`,
		"kernel /k\nramdisk /r\nargs a b\n\n", "kernel /k\x00ramdisk /r\x00args a b\x00\x00", "x", "linux (",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := parseAnswer(text)
		if err != nil {
			return
		}
		a.unknown = nil
		again := func(form, text string) {
			if b, err := parseAnswer([]byte(text)); err != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%+v written as %s %q is %+v, %v", a, form, text, b, err)
			}
		}
		quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace
		if len(text) < maxAnswer/4 {
			again("sxp", fmt.Sprintf(`linux (kernel "%s")(ramdisk "%s")(args "%s")`, quote(a.kernel), quote(a.ramdisk), quote(a.args)))
		}
		for form, end := range map[string]string{"simple": "\n", "simple0": "\x00"} {
			if !plain(a.kernel) || !plain(a.ramdisk) || !plain(a.args) || len(text) > maxAnswer/2 {
				continue
			}
			again(form, "kernel "+a.kernel+end+"ramdisk "+a.ramdisk+end+"args "+a.args+end+end)
		}
	})
}

// plain tells whether the simple forms can hold a value.
func plain(value string) bool {
	return !strings.ContainsAny(value, "\x00\r\n") && strings.TrimLeft(value, " \t") == value
}

func FuzzSplitWords(f *testing.F) {
	f.Add(`--args="a b" c\ d 'e'`)
	f.Fuzz(func(t *testing.T, text string) {
		words, err := splitWords(text)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := splitWords(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(words, again) {
			t.Errorf("%q is %q, which is %q when quoted, %v", text, words, again, err)
		}
	})
}
