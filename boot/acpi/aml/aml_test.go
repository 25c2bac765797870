package aml

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// unhex decodes hexadecimal digits with blanks between them.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEncoding(t *testing.T) {
	for _, test := range []struct {
		name string
		got  Term
		want string
	}{
		{"zero", Int(0), "00"},
		{"one", Int(1), "01"},
		{"byte", Int(0xFF), "0A FF"},
		{"word", Int(0x100), "0B 00 01"},
		{"dword", Int(0x1_0000), "0C 00 00 01 00"},
		{"qword", Int(0x1_0000_0000), "0E 00 00 00 00 01 00 00 00"},
		{"string", String("Hi"), "0D 48 69 00"},
		{"EISA id", EISAID("PNP0A03"), "0C 41 D0 0A 03"},
		{"one segment", Path("ISA"), "49 53 41 5F"},
		{"root", Path(`\`), "5C 00"},
		{"from root", Path(`\_S5`), "5C 5F 53 35 5F"},
		{"parents", Path("^^PCI0"), "5E 5E 50 43 49 30"},
		{"two segments", Path("A.B"), "2E 41 5F 5F 5F 42 5F 5F 5F"},
		{"three segments", Path(`\A.B.C`), "5C 2F 03 41 5F 5F 5F 42 5F 5F 5F 43 5F 5F 5F"},
		{"name", Name("X", Int(0)), "08 58 5F 5F 5F 00"},
		{"buffer", Buffer([]byte{7, 8}), "11 05 0A 02 07 08"},
		{"package", Package(Int(0), Int(1)), "12 04 02 00 01"},
		{"scope", Scope("X", Int(1)), "10 06 58 5F 5F 5F 01"},
		{"device", Device("X"), "5B 82 05 58 5F 5F 5F"},
		{"method", Method("X", 1, Serialized, Return(Arg(0))), "14 08 58 5F 5F 5F 09 A4 68"},
		{"region", OperationRegion("X", PCIConfig, 0x60, 4), "5B 80 58 5F 5F 5F 02 0A 60 0A 04"},
		{"field", Field("X", ByteAccess, FieldUnit{"AA", 8}, FieldUnit{"", 0x40}, FieldUnit{"B", 1}),
			"5B 81 13 58 5F 5F 5F 01 41 41 5F 5F 08 00 40 04 42 5F 5F 5F 01"},
		{"call", Call("F", Arg(1), Local(2)), "46 5F 5F 5F 69 62"},
		{"store", Store(Int(1), Local(0)), "70 01 60"},
		{"add", Add(Arg(0), Int(1), Local(0)), "72 68 01 60"},
		{"subtract without target", Subtract(Arg(0), Int(1), nil), "74 68 01 00"},
		{"shift left", ShiftLeft(Int(1), Arg(0), nil), "79 01 68 00"},
		{"shift right", ShiftRight(Int(1), Arg(0), nil), "7A 01 68 00"},
		{"and", And(Arg(0), Arg(1), nil), "7B 68 69 00"},
		{"or", Or(Arg(0), Arg(1), nil), "7D 68 69 00"},
		{"xor", Xor(Arg(0), Arg(1), nil), "7F 68 69 00"},
		{"logic", LAnd(LOr(LNot(Arg(0)), Arg(1)), Arg(2)), "90 91 92 68 69 6A"},
		{"compare", LEqual(LLess(Arg(0), Arg(1)), LGreater(Arg(2), Arg(3))), "93 95 68 69 94 6A 6B"},
		{"if else", Concat(If(Arg(0), Return(Int(1))), Else(Return(Int(0)))), "A0 04 68 A4 01 A1 03 A4 00"},
		{"while", While(Arg(0)), "A2 02 68"},
		{"notify", Notify("X", 0x80), "86 58 5F 5F 5F 0A 80"},
		{"dword field", CreateDWordField(Arg(0), 5, "X"), "8A 68 0A 05 58 5F 5F 5F"},
		{"template", ResourceTemplate(), "11 05 0A 02 79 00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if want := unhex(t, test.want); !bytes.Equal(test.got, want) {
				t.Errorf("got  % X\nwant % X", []byte(test.got), want)
			}
		})
	}
}

func TestResources(t *testing.T) {
	for _, test := range []struct {
		name string
		got  Resource
		want string
	}{
		{"I/O", IO(0x3F8, 8), "47 01 F8 03 F8 03 01 08"},
		{"IRQ", IRQNoFlags(4, 12), "22 10 10"},
		{"interrupt", Interrupt(5, 10), "89 0A 00 09 02 05 00 00 00 0A 00 00 00"},
		{"fixed memory", Memory32Fixed(0xFED0_0000, 0x400), "86 09 00 01 00 00 D0 FE 00 04 00 00"},
		{"bus", WordBusNumber(0, 0xFF), "88 0D 00 02 0C 00 00 00 00 00 FF 00 00 00 00 01"},
		{"I/O window", WordIO(0xD00, 0xFFFF), "88 0D 00 01 0C 03 00 00 00 0D FF FF 00 00 00 F3"},
		{"window", DWordMemory(0xE000_0000, 0xFEBF_FFFF),
			"87 17 00 00 0C 01 00000000 000000E0 FFFFBFFE 00000000 0000C01E"},
		{"cacheable window", DWordMemoryCacheable(0xA_0000, 0xB_FFFF),
			"87 17 00 00 0C 03 00000000 00000A00 FFFF0B00 00000000 00000200"},
		{"wide window", QWordMemory(1<<32, 1<<33-1),
			"8A 2B 00 00 0C 01 0000000000000000 0000000001000000 FFFFFFFF01000000 0000000000000000 0000000001000000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if want := unhex(t, test.want); !bytes.Equal(test.got, want) {
				t.Errorf("got  % X\nwant % X", []byte(test.got), want)
			}
		})
	}
}

// TestInterruptOffset checks that the constant points at the number.
func TestInterruptOffset(t *testing.T) {
	if r := Interrupt(0x1234_5678); le.Uint32(r[InterruptOffset:]) != 0x1234_5678 {
		t.Errorf("interrupt number is not at offset %d of % X", InterruptOffset, []byte(r))
	}
}

// pkgLength decodes a PkgLength and returns it with the size of its encoding.
func pkgLength(b []byte) (length, size int) {
	follow := int(b[0] >> 6)
	if follow == 0 {
		return int(b[0]), 1
	}
	length = int(b[0] & 0xF)
	for i := range follow {
		length |= int(b[1+i]) << (4 + 8*i)
	}
	return length, 1 + follow
}

// TestPkgLength checks each size of the encoding at its limits.
func TestPkgLength(t *testing.T) {
	for _, test := range []struct{ content, size int }{
		{0, 1}, {62, 1}, {63, 2}, {0xFFF - 2, 2}, {0xFFF - 1, 3}, {0xF_FFFF - 3, 3}, {0xF_FFFF - 2, 4}, {maxPkgLength - 4, 4},
	} {
		out := appendPkgLength(nil, test.content)
		length, size := pkgLength(out)
		if len(out) != test.size || size != test.size || length != test.content+test.size {
			t.Errorf("content of %d bytes: % X is %d bytes for a length of %d, want %d bytes for %d",
				test.content, []byte(out), len(out), length, test.size, test.content+test.size)
		}
	}
}

func TestMalformedPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"empty name":              func() { Path("") },
		"long segment":            func() { Path("ABCDE") },
		"empty segment":           func() { Path("A..B") },
		"digit first":             func() { Path("0A") },
		"small letter":            func() { Path("a") },
		"parent of root":          func() { Path(`\^A`) },
		"256 segments":            func() { Path(strings.Repeat("A.", 255) + "A") },
		"short EISA id":           func() { EISAID("PNP") },
		"small EISA id":           func() { EISAID("pnp0000") },
		"EISA id digits":          func() { EISAID("PNPXYZ0") },
		"string with NUL":         func() { String("a\x00b") },
		"string not ASCII":        func() { String("é") },
		"256 elements":            func() { Package(make([]Term, 256)...) },
		"package too long":        func() { appendPkgLength(nil, maxPkgLength-3) },
		"8 arguments":             func() { Method("X", 8, NotSerialized) },
		"Arg7":                    func() { Arg(7) },
		"Local8":                  func() { Local(8) },
		"field of no bits":        func() { Field("X", ByteAccess, FieldUnit{"A", 0}) },
		"field too wide":          func() { Field("X", ByteAccess, FieldUnit{"A", 0x1000}) },
		"IRQ 16":                  func() { IRQNoFlags(16) },
		"no interrupts":           func() { Interrupt() },
		"window reversed":         func() { DWordMemory(2, 1) },
		"window of all memory":    func() { DWordMemory(0, 0xFFFF_FFFF) },
		"wide window reversed":    func() { QWordMemory(2, 1) },
		"I/O window of all ports": func() { WordIO(0, 0xFFFF) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			f()
		})
	}
}
