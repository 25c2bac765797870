package firmware

import (
	"bytes"
	"io"
	"testing"

	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/boot/acpi"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

// file reads an item whole, by its name or, without one, by its key. It fails
// if there is none, or more than one.
func file(tb testing.TB, items []Item, name string, key uint16) []byte {
	tb.Helper()
	var found []Item
	for _, i := range items {
		if i.Name == name && i.Key == key {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		tb.Fatalf("%d items %q, key %#x", len(found), name, key)
	}
	return content(tb, found[0].Content)
}

func content(tb testing.TB, c boot.Image) []byte {
	tb.Helper()
	b := make([]byte, c.Size())
	if n, err := c.ReadAt(b, 0); n < len(b) {
		tb.Fatalf("%d bytes of %d: %v", n, len(b), err)
	}
	return b
}

func mustItems(tb testing.TB, cfg Config) []Item {
	tb.Helper()
	items, err := Items(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return items
}

func mustTables(tb testing.TB) *acpi.Tables {
	tb.Helper()
	t, err := acpi.Build(acpi.Config{Keyboard: true, HPET: true, Serial: []acpi.Serial{{COM: 1}}})
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// bzImage is a kernel of protocol 2.12 whose real-mode code is code, from 0x268
// on, and whose protected-mode code is rest. change, if not nil, may spoil it.
func bzImage(code, rest []byte, change func(setup []byte)) boot.Image {
	s := make([]byte, 5*512)
	s[offSetupSects] = 4
	le.PutUint16(s[offBootFlag:], 0xAA55)
	copy(s[0x200:], "\xEB\x66HdrS")
	le.PutUint16(s[offVersion:], 0x20C)
	s[offLoadflags] = loadedHigh
	le.PutUint32(s[offInitrdMax:], 0x7FFFFFFF)
	le.PutUint32(s[offCmdlineSize:], 2047)
	copy(s[0x268:], code)
	if change != nil {
		change(s)
	}
	return bytes.NewReader(append(s, rest...))
}

// sparse is a file of zeros, of any size.
type sparse int64

func (s sparse) Size() int64 { return int64(s) }

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	n := min(max(int64(s)-off, 0), int64(len(p)))
	clear(p[:n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}
