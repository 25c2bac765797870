package initramfs

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// moduleELF makes an object file with nothing but a .modinfo section.
func moduleELF(t *testing.T, modinfo string) []byte {
	t.Helper()
	const names = "\x00.shstrtab\x00.modinfo\x00"
	const headerSize = 64
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: headerSize, Size: uint64(len(names)), Addralign: 1},
		{Name: 11, Type: uint32(elf.SHT_PROGBITS), Off: headerSize + uint64(len(names)), Size: uint64(len(modinfo)), Addralign: 1},
	}
	header := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: headerSize,
		Shoff: headerSize + uint64(len(names)+len(modinfo)), Shentsize: 64, Shnum: 3, Shstrndx: 1,
	}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = 2, 1, 1
	var b bytes.Buffer
	for _, part := range []any{header, []byte(names), []byte(modinfo), sections} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// moduleDir makes a kernel's module directory.
func moduleDir(t *testing.T, modules map[string]string, builtin ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, modinfo := range modules {
		file := filepath.Join(dir, "kernel", "drivers", name+".ko")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, moduleELF(t, modinfo), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list := strings.Join(builtin, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "modules.builtin"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestClosure(t *testing.T) {
	dir := moduleDir(t, map[string]string{
		"fs/9p":         "license=GPL\x00depends=9pnet,netfs,fscache\x00",
		"fs/fscache":    "depends=netfs\x00",
		"fs/netfs":      "depends=\x00",
		"net/9pnet":     "depends=\x00",
		"fs/ext4":       "depends=jbd2\x00softdep=pre: crc32c-arch nosuch post: later\x00",
		"fs/jbd2":       "depends=\x00",
		"crc32c-arch":   "depends=\x00",
		"later":         "depends=\x00",
		"a":             "depends=b\x00",
		"b":             "depends=a\x00",
		"orphan":        "depends=lost\x00",
		"virtio-rng":    "depends=rng-core\x00",
		"chip_no_field": "license=GPL\x00",
	}, "kernel/drivers/rng-core.ko", "kernel/fs/tmpfs.ko")
	for _, test := range []struct {
		names, want string // of modules
		err         string
	}{
		{"9p", "9pnet netfs fscache 9p", ""},
		{"netfs 9p", "netfs 9pnet fscache 9p", ""},
		{"9p 9p", "9pnet netfs fscache 9p", ""},
		{"ext4", "jbd2 crc32c_arch ext4", ""},
		{"virtio_rng", "virtio_rng", ""},
		{"virtio-rng tmpfs", "virtio_rng", ""},
		{"chip_no_field", "chip_no_field", ""},
		{"a", "b a", ""}, // a circle, which no real kernel has, ends
		{"", "", ""},
		{"nosuch", "", "has no module nosuch"},
		{"orphan", "", "has no module lost, which orphan needs"},
	} {
		tree, err := OpenModules(dir)
		if err != nil {
			t.Fatal(err)
		}
		files, err := tree.Closure(strings.Fields(test.names)...)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("Closure(%s): error %v, want %q", test.names, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("Closure(%s): %v", test.names, err)
			continue
		}
		var got []string
		for _, file := range files {
			name, _ := moduleName(filepath.Base(file))
			got = append(got, name)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("Closure(%s) = %s, want %s", test.names, strings.Join(got, " "), test.want)
		}
	}
}

func TestModulesImage(t *testing.T) {
	dir := moduleDir(t, map[string]string{"loop": "depends=core\x00", "core": "depends=\x00"})
	files, err := Modules(dir, "loop max_loop=8 max_part=1")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.record.Name)
	}
	if want := []string{"lib/modules/core.ko", "lib/modules/loop.ko", "lib/modules/list"}; !slices.Equal(names, want) {
		t.Errorf("files %v, want %v", names, want)
	}
	list := make([]byte, 100)
	n, _ := files[2].record.ReadAt(list, 0)
	if got, want := string(list[:n]), "core.ko\nloop.ko max_loop=8 max_part=1\n"; got != want {
		t.Errorf("list %q, want %q", got, want)
	}
}

func TestOpenModulesErrors(t *testing.T) {
	if _, err := OpenModules(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that does not exist was opened")
	}
	if _, err := OpenModules(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no kernel modules") {
		t.Errorf("an empty directory: error %v", err)
	}
	dir := moduleDir(t, nil, "kernel/a.ko")
	if err := os.WriteFile(filepath.Join(dir, "bad.ko"), []byte("not an object file"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := OpenModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Closure("bad"); err == nil || !strings.Contains(err.Error(), "bad.ko") {
		t.Errorf("a module that is no ELF file: error %v", err)
	}
}

func TestReadCompressed(t *testing.T) {
	dir := moduleDir(t, nil, "kernel/a.ko")
	packed, err := base64.StdEncoding.DecodeString(xzText)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"b.ko.xz": packed, "cut.ko.xz": packed[:len(packed)-20], "c.ko.zst": packed} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := OpenModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !tree.Has("b") || !tree.Has("a") || tree.Has("d") {
		t.Error("Has is wrong")
	}
	if got := tree.Present("d", "b", "a"); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("Present = %v", got)
	}
	if data, err := tree.Read("b.ko.xz"); err != nil || string(data) != "module image\n" {
		t.Errorf("Read = %q, %v", data, err)
	}
	for _, name := range []string{"cut.ko.xz", "c.ko.zst", "none.ko"} {
		if _, err := tree.Read(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Read(%s): error %v", name, err)
		}
	}
}

func FuzzParseModinfo(f *testing.F) {
	f.Add([]byte("depends=a,b\x00softdep=pre: c post: d\x00"))
	f.Add([]byte("depends=,,\x00softdep=post: pre: x\x00junk"))
	f.Fuzz(func(t *testing.T, info []byte) {
		depends, pre := parseModinfo(info)
		for _, name := range slices.Concat(depends, pre) {
			if name == "" {
				t.Fatal("a dependency without a name")
			}
		}
	})
}

// xzText is "module image\n", compressed.
const xzText = "/Td6WFoAAAFpIt42AgAhARYAAAB0L+WjAQAMbW9kdWxlIGltYWdlCgAAAAAfl+V5AAEhDXXcqNKQQpkNAQAAAAABWVo="
