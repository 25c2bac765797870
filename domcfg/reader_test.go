package domcfg

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
)

// TestMalformed has one error for each way of not being XML, with the place of the fault.
func TestMalformed(t *testing.T) {
	many := strings.Repeat
	for _, c := range []struct{ name, xml, want string }{
		{"nothing", "", `vm.xml:1:1: not well-formed: there is no element in the file`},
		{"only text", "domain", `vm.xml:1:1: not well-formed: there is text outside the root element`},
		{"only a comment", "<!-- x -->", `vm.xml:1:11: not well-formed: there is no element in the file`},
		{"no end", "<domain>\n <name>", `vm.xml:2:8: not well-formed: the file ends inside <name>, which line 2 opens`},
		{"wrong end", "<domain>\n<name></domain>", `vm.xml:2:7: not well-formed: </domain> stands where </name> is needed, for the <name> in line 2`},
		{"end alone", "</domain>", `vm.xml:1:1: not well-formed: </domain> closes nothing`},
		{"two roots", "<domain/>\n<domain/>", `vm.xml:2:1: not well-formed: a second root element, <domain>`},
		{"text after the root", "<domain/>x", `vm.xml:1:10: not well-formed: there is text outside the root element`},
		{"value without quotes", "<domain>\n<catchup threshold=123/></domain>", `vm.xml:2:21: not well-formed: unquoted or missing attribute value in element`},
		{"attribute twice", "<domain>\n<acceleration accel3d='yes' accel3d='yes'/></domain>", `vm.xml:2:29: not well-formed: <acceleration> has the attribute accel3d twice`},
		{"unknown entity", "<domain>&boom;</domain>", `vm.xml:1:15: not well-formed: invalid character entity &boom;`},
		{"declared entity", "<!DOCTYPE d [<!ENTITY boom 'x'>]><domain>&boom;</domain>", `vm.xml:1:48: not well-formed: invalid character entity &boom;`},
		{"not UTF-8", "<domain>\xff</domain>", `vm.xml:1:10: not well-formed: invalid UTF-8`},
		{"UTF-16", "\xff\xfe<\x00", `vm.xml:1:1: the file is in UTF-16; convert it to UTF-8`},
		{"other charset", "<?xml version='1.0' encoding='KOI8-R'?><domain/>", `vm.xml:1:1: charset "KOI8-R" is not read; convert the file to UTF-8`},
		{"too deep", many("<a>", maxDepth+1), `vm.xml:1:193: elements stand more than 64 deep inside each other`},
		{"too many elements", "<domain>" + many("<a/>", maxElements), fmt.Sprintf(`vm.xml:1:%d: the file has more than 100000 elements`, 9+4*(maxElements-1))},
		{"long name", "<" + many("a", maxNameLen+1) + "/>", `vm.xml:1:1: an element's name has over 256 bytes`},
		{"long attribute", "<a " + many("a", maxNameLen+1) + "=''/>", `vm.xml:1:4: an attribute's name has over 256 bytes`},
		{"too large", many(" ", maxSize+1), `vm.xml:1:1: the file is over 4 MiB, too large for a domain`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Parse("vm.xml", strings.NewReader(c.xml))
			errs, ok := errors.AsType[Errors](err)
			if !ok || len(errs) != 1 {
				t.Fatalf("got %v, want one error", err)
			}
			if err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestTooManyAttributes(t *testing.T) {
	var b strings.Builder
	b.WriteString("<domain")
	for i := range maxAttrs + 1 {
		fmt.Fprintf(&b, " a%d=''", i)
	}
	b.WriteString("/>")
	_, _, err := Parse("vm.xml", strings.NewReader(b.String()))
	const want = "vm.xml:1:1: <domain> has more than 64 attributes"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestReadError has a reader that fails: that is its own error, not one of the XML.
func TestReadError(t *testing.T) {
	broken := errors.New("cable cut")
	_, _, err := Parse("vm.xml", iotest.ErrReader(broken))
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if _, ok := errors.AsType[Errors](err); ok {
		t.Error("a reader's error is reported as a fault of the file")
	}
}

// TestPositions has attributes in all the ways in which XML lets them be written.
func TestPositions(t *testing.T) {
	root, err := readTree("p.xml", strings.NewReader("\xef\xbb\xbf<?xml version='1.0'?>\r\n<a\r\n\tone = '>'\ttwo=\"'\"><!-- c\n -->é<b x='é' y=''/>\r\n<q:c  z = 'x\ny' w='1'/></a>\n"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	var list func(n *node)
	list = func(n *node) {
		fmt.Fprintf(&got, "%s %d:%d", n.name, n.line, n.column)
		for _, a := range n.attrs {
			fmt.Fprintf(&got, " %s=%q %d:%d", a.name, a.value, a.line, a.column)
		}
		got.WriteByte('\n')
		for _, c := range n.children {
			list(c)
		}
	}
	list(root)
	const want = `a 2:1 one=">" 3:2 two="'" 3:12
b 4:6 x="é" 4:9 y="" 4:15
q:c 5:1 z="x\ny" 5:7 w="1" 6:4
`
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

// TestHostileLists keeps reports of a file with very many faults to a bounded number.
func TestHostileLists(t *testing.T) {
	_, warnings, err := Parse("vm.xml", strings.NewReader(inDevices(strings.Repeat("<disk/><tofu/>", 20000))))
	errs, ok := errors.AsType[Errors](err)
	if !ok || len(errs) != maxReports || len(warnings) != maxReports {
		t.Errorf("got %d errors and %d warnings, want %d of each", len(errs), len(warnings), maxReports)
	}
}
