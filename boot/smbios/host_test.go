package smbios

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// hostFS returns the /sys of a host with tables.
func hostFS(tables *Tables) fstest.MapFS {
	return fstest.MapFS{
		hostEntryPoint: {Data: tables.anchorTo(0xE_B000)},
		hostTable:      {Data: tables.Data},
	}
}

func fieldFS(fields map[string]string) fstest.MapFS {
	sys := fstest.MapFS{}
	for name, text := range fields {
		sys[hostFields+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return sys
}

// denied is a file system in which some files may not be opened.
type denied struct {
	fs.FS
	names []string
}

func (d denied) Open(name string) (fs.File, error) {
	for _, n := range d.names {
		if n == name {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
	}
	return d.FS.Open(name)
}

// fullHost is what fullConfig is as a host.
func fullHost() Host {
	cfg := fullConfig(V2_8)
	h := Host{BIOS: *cfg.BIOS, System: cfg.System}
	h.BIOS.UEFI, h.System.UUID = false, [16]byte{}
	return h
}

func equal(a, b Host) bool {
	return a.BIOS == b.BIOS && a.System == b.System && strings.Join(a.Notes, "\n") == strings.Join(b.Notes, "\n")
}

func TestReadHost(t *testing.T) {
	fields := map[string]string{
		"bios_vendor": "LENOVO\n", "bios_version": "6FET82WW (3.12 )\n", "bios_date": "11/26/2009\n", "bios_release": "3.18\n",
		"sys_vendor": "Fedora\n", "product_name": "Virt-Manager\n", "product_version": "0.8.2-3.fc14\n",
		"product_serial": "32dfcb37\n", "product_sku": "sku-1\n", "product_family": "Red Hat\n",
		"product_uuid": "3e3fce45-4f53-4fa7-bb32-11f34168b82b\n",
	}
	noSerial := fullHost()
	noSerial.System.Serial = ""
	noSerial.Notes = []string{"the host's system serial cannot be read: open class/dmi/id/product_serial: permission denied"}
	both := hostFS(mustBuild(t, fullConfig(V2_8)))
	for name, file := range fieldFS(fields) {
		both[name] = file
	}
	v1 := mustBuild(t, fullConfig(V2_8))
	v1.Data[0x01] = 0x12 // type 0 of SMBIOS 2.0 to 2.3: no release
	v1.Data = append(v1.Data[:0x12], v1.Data[0x18:]...)
	oldHost := fullHost()
	oldHost.BIOS.Release = ""

	// The first of several structures of a type counts.
	twice := mustBuild(t, fullConfig(V3_0))
	first, rest, err := nextStructure(twice.Data)
	if err != nil || first.kind != typeBIOS {
		t.Fatalf("first structure %+v, %v", first, err)
	}
	other := mustBuild(t, Config{LowRAM: gib, BIOS: DefaultBIOS()})
	_, afterOther, err := nextStructure(other.Data)
	if err != nil {
		t.Fatal(err)
	}
	twice.Data = slices.Concat(twice.Data[:len(twice.Data)-len(rest)], other.Data[:len(other.Data)-len(afterOther)], rest)

	for _, test := range []struct {
		name string
		sys  fs.FS
		want Host
	}{
		{"two of a type", hostFS(twice), fullHost()},
		{"tables of 2.8", hostFS(mustBuild(t, fullConfig(V2_8))), fullHost()},
		{"tables of 3.0", hostFS(mustBuild(t, fullConfig(V3_0))), fullHost()},
		{"short structures", hostFS(v1), oldHost},
		{"fields", fieldFS(fields), fullHost()},
		{"no root", denied{both, []string{hostEntryPoint, hostTable, hostFields + "product_serial"}}, noSerial},
		{"few fields", fieldFS(map[string]string{"sys_vendor": "me"}), Host{System: System{Manufacturer: "me"}}},
		{"odd fields", fieldFS(map[string]string{
			"bios_date": "2011-02-03", "bios_release": "x", "bios_vendor": " Größe\x01 ", "sys_vendor": strings.Repeat("x", 5000)}),
			Host{
				BIOS:   BIOS{Vendor: "Gr....e."},
				System: System{Manufacturer: strings.Repeat("x", MaxString)},
				Notes: []string{
					"the host's system manufacturer was cut to 4096 bytes",
					`the host's BIOS date was left out: "2011-02-03" is not a date of the form mm/dd/yy or mm/dd/yyyy`,
					`the host's BIOS release was left out: "x" is not of the form major.minor with numbers of 0 to 255`,
				},
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadHost(test.sys)
			if err != nil {
				t.Fatal(err)
			}
			if !equal(*got, test.want) {
				t.Errorf("got %+v\nwant %+v", *got, test.want)
			}
			mustBuild(t, Config{LowRAM: gib, BIOS: &got.BIOS, System: got.System})
		})
	}
}

// TestReadBrokenHost checks that broken tables are named and not used.
func TestReadBrokenHost(t *testing.T) {
	change := func(name string, f func(b []byte) []byte) fstest.MapFS {
		sys := hostFS(mustBuild(t, fullConfig(V2_8)))
		sys[name].Data = f(sys[name].Data)
		return sys
	}
	for _, test := range []struct {
		name string
		sys  fs.FS
		want string
	}{
		{"no SMBIOS", fstest.MapFS{}, "the host shows no SMBIOS values to copy: open firmware/dmi"},
		{"permission", denied{hostFS(mustBuild(t, fullConfig(V2_8))), []string{hostTable}}, "permission denied"},
		{"no table", change(hostTable, func([]byte) []byte { return nil }), "neither a BIOS nor a system"},
		{"empty entry point", change(hostEntryPoint, func([]byte) []byte { return nil }), `"" is not the beginning`},
		{"short entry point", change(hostEntryPoint, func(b []byte) []byte { return b[:20] }), "truncated to 20 bytes"},
		{"checksum", change(hostEntryPoint, func(b []byte) []byte { b[8]++; return b }), "checksum is wrong"},
		{"short legacy entry point", change(hostEntryPoint, func(b []byte) []byte { return b[16:24] }), "truncated or its checksum"},
		{"legacy checksum", change(hostEntryPoint, func(b []byte) []byte { b[28]++; return b[16:] }), "truncated or its checksum"},
		{"header cut", change(hostTable, func(b []byte) []byte { return b[:3] }), "within a structure's header"},
		{"structure cut", change(hostTable, func(b []byte) []byte { return b[:9] }), "says that it has 24 bytes"},
		{"short length", change(hostTable, func(b []byte) []byte { b[1] = 3; return b }), "says that it has 3 bytes"},
		{"strings cut", change(hostTable, func(b []byte) []byte { return b[:30] }), "strings of a structure of type 0 do not end"},
		{"only an end", change(hostTable, func([]byte) []byte { return []byte{127, 4, 0, 0x7F, 0, 0} }), "neither"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, err := ReadHost(test.sys)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v and error %v, want one with %q", h, err, test.want)
			}
		})
	}
}

// TestReadLegacyHost reads a table by an entry point of SMBIOS 2.0.
func TestReadLegacyHost(t *testing.T) {
	sys := hostFS(mustBuild(t, fullConfig(V2_8)))
	sys[hostEntryPoint].Data = sys[hostEntryPoint].Data[anchor2Start:]
	got, err := ReadHost(sys)
	if err != nil || !equal(*got, fullHost()) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestReadOwnHost reads the machine that the test runs on, whatever it has.
func TestReadOwnHost(t *testing.T) {
	h, err := ReadHost(os.DirFS("/sys"))
	if _, statErr := os.Stat("/sys/class/dmi/id/sys_vendor"); statErr != nil {
		if err == nil {
			t.Errorf("got %+v of a machine without SMBIOS", h)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	mustBuild(t, Config{LowRAM: gib, BIOS: &h.BIOS, System: h.System})
}

func FuzzReadHost(f *testing.F) {
	for _, v := range []Version{V2_8, V3_0} {
		tables, err := Build(fullConfig(v))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(tables.anchorTo(0), tables.Data)
	}
	f.Fuzz(func(t *testing.T, entry, table []byte) {
		// The table is read whatever the entry point is worth.
		if h, err := parseHost(table); err == nil {
			h.makeFit()
			mustBuild(t, Config{Version: V3_0, LowRAM: gib, BIOS: &h.BIOS, System: h.System})
		}
		h, err := ReadHost(fstest.MapFS{hostEntryPoint: {Data: entry}, hostTable: {Data: table}})
		if err == nil {
			mustBuild(t, Config{Version: V3_0, LowRAM: gib, BIOS: &h.BIOS, System: h.System})
		}
	})
}
