package smbios

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// qemu is a QEMU machine that is controlled by QMP, the QEMU machine protocol, on
// its standard input and output.
type qemu struct {
	t       *testing.T
	dir     string
	command io.Writer
	answers *json.Decoder
}

// bootSector is run by the firmware once all tables are in place. It tells the
// pvpanic device so, on which QEMU stops the machine.
func bootSector() []byte {
	sector := make([]byte, 1<<20) // a disk of some size
	copy(sector, []byte{
		0xBA, 0x05, 0x05, // mov $0x505, %dx
		0xB0, 0x01, // mov $1, %al
		0xEE,       // out %al, %dx
		0xF4,       // hlt
		0xEB, 0xFD, // jmp to the hlt
	})
	copy(sector[510:], []byte{0x55, 0xAA})
	return sector
}

// startQEMU runs a machine until its firmware has finished.
func startQEMU(t *testing.T, args ...string) *qemu {
	t.Helper()
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v: install the package qemu-system-x86", err)
	}
	q := &qemu{t: t, dir: t.TempDir()}
	disk := filepath.Join(q.dir, "disk")
	if err := os.WriteFile(disk, bootSector(), 0o600); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-nodefaults", "-display", "none", "-qmp", "stdio", "-action", "panic=pause", "-cpu", "qemu64",
		"-device", "pvpanic", "-drive", "format=raw,file=" + disk}, args...)
	cmd := exec.CommandContext(t.Context(), path, args...)
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("QEMU: %s", stderr)
		}
	})
	q.command, q.answers = stdin, json.NewDecoder(stdout)
	q.run("qmp_capabilities", nil)
	if err := q.wait("GUEST_PANICKED"); err != nil {
		t.Fatalf("waiting for the firmware: %v", err)
	}
	return q
}

// message is an answer or an event.
type message struct {
	Return json.RawMessage
	Error  *struct{ Desc string }
	Event  string
}

// wait reads up to an event, or up to the answer to a command if it is "".
func (q *qemu) wait(event string) error {
	for {
		var m message
		if err := q.answers.Decode(&m); err != nil {
			return err
		}
		switch {
		case m.Error != nil:
			return errors.New(m.Error.Desc)
		case m.Event != "" && m.Event == event, m.Return != nil && event == "":
			return nil
		}
	}
}

func (q *qemu) run(command string, arguments map[string]any) {
	q.t.Helper()
	if arguments == nil {
		arguments = map[string]any{}
	}
	err := json.NewEncoder(q.command).Encode(map[string]any{"execute": command, "arguments": arguments})
	if err == nil {
		err = q.wait("")
	}
	if err != nil {
		q.t.Fatalf("%s: %v", command, err)
	}
}

// memory returns guest memory.
func (q *qemu) memory(address, size int) []byte {
	q.t.Helper()
	file := filepath.Join(q.dir, "memory")
	q.run("pmemsave", map[string]any{"val": address, "size": size, "filename": file})
	b, err := os.ReadFile(file)
	if err != nil || len(b) != size {
		q.t.Fatalf("%d of %d bytes of guest memory: %v", len(b), size, err)
	}
	return b
}

// tables finds the tables in guest memory.
func (q *qemu) tables() *Tables {
	q.t.Helper()
	area := q.memory(anchorAreaStart, anchorAreaEnd-anchorAreaStart)
	for at := 0; at < len(area); at += AnchorAlign {
		entry := area[at:]
		switch {
		case bytes.HasPrefix(entry, []byte(anchor64)) && sum(entry[:entryPoint64Size]) == 0:
			return &Tables{
				Anchor: unplaced(entry[:entryPoint64Size], tableAddress64, 8, checksum64),
				Data:   q.memory(int(le.Uint64(entry[tableAddress64:])), int(le.Uint32(entry[tableMaxSize64:]))),
			}
		case bytes.HasPrefix(entry, []byte(anchor32)) && sum(entry[:entryPoint32Size]) == 0:
			return &Tables{
				Anchor: unplaced(entry[:entryPoint32Size], tableAddress32, 4, checksum32, checksum2),
				Data:   q.memory(int(le.Uint32(entry[tableAddress32:])), int(le.Uint16(entry[tableLength32:]))),
			}
		}
	}
	q.t.Fatal("the guest has no SMBIOS tables")
	return nil
}

// unplaced returns an entry point with address and checksums zero.
func unplaced(entry []byte, address, size int, checksums ...int) []byte {
	out := bytes.Clone(entry)
	clear(out[address : address+size])
	for _, at := range checksums {
		out[at] = 0
	}
	return out
}

// TestAsQEMU compares our tables with those that QEMU makes for a machine of the
// same settings: every field that dmidecode prints. The differences that are meant
// are in a function of that name.
func TestAsQEMU(t *testing.T) {
	uuid := [16]byte{0x3e, 0x3f, 0xce, 0x45, 0x4f, 0x53, 0x4f, 0xa7, 0xbb, 0x32, 0x11, 0xf3, 0x41, 0x68, 0xb8, 0x2b}
	base := Config{
		Machine: Machine{Version: "pc-i440fx-7.2"},
		// CPUID leaf 1 of QEMU's model qemu64.
		Processors: Processors{Signature: 0x60FB1, Features: 0x078BFBFD},
		LowRAM:     128 * mib,
	}
	for _, test := range []struct {
		name   string
		args   []string
		change func(*Config)
	}{
		{
			"emulate", []string{"-M", "pc-i440fx-7.2", "-m", "128"},
			func(*Config) {},
		}, {
			"sysinfo", []string{"-M", "pc-i440fx-7.2", "-m", "128", "-uuid", "3e3fce45-4f53-4fa7-bb32-11f34168b82b",
				"-smbios", "type=0,vendor=LENOVO,version=6FET82WW,date=11/26/2009,release=3.18",
				"-smbios", "type=1,manufacturer=Fedora,product=Virt-Manager,version=0.8.2,serial=32dfcb37,sku=s1,family=Red Hat"},
			func(c *Config) {
				c.BIOS = &BIOS{Vendor: "LENOVO", Version: "6FET82WW", Date: "11/26/2009", Release: "3.18"}
				c.System = System{"Fedora", "Virt-Manager", "0.8.2", "32dfcb37", uuid, "s1", "Red Hat"}
			},
		}, {
			"part of sysinfo", []string{"-M", "pc-i440fx-7.2", "-m", "128",
				"-smbios", "type=0,vendor=LENOVO", "-smbios", "type=1,manufacturer=Fedora"},
			func(c *Config) {
				c.BIOS = &BIOS{Vendor: "LENOVO"}
				c.System.Manufacturer = "Fedora"
			},
		}, {
			"all in 3.0", []string{"-M", "pc-i440fx-7.2,smbios-entry-point-type=64,memory-backend=ram",
				"-object", "memory-backend-ram,id=ram,size=20G,reserve=off", "-m", "20G",
				"-smp", "12,sockets=2,cores=3,threads=2",
				"-smbios", "type=0,vendor=V,uefi=on", "-smbios", "type=2,manufacturer=b1,product=b2,serial=b3,asset=b4,location=b5",
				"-smbios", "type=3,manufacturer=c1,version=c2,serial=c3,asset=c4,sku=c5",
				"-smbios", "type=4,manufacturer=p1,version=p2,max-speed=3000,current-speed=3000,serial=p3,asset=p4,part=p5",
				"-smbios", "type=11,value=hello,value=world"},
			func(c *Config) {
				c.Version = V3_0
				c.BIOS = &BIOS{Vendor: "V", UEFI: true}
				c.BaseBoard = &BaseBoard{Manufacturer: "b1", Product: "b2", Serial: "b3", Asset: "b4", Location: "b5"}
				c.Chassis = Chassis{"c1", "c2", "c3", "c4", "c5"}
				p := &c.Processors
				p.Sockets, p.Cores, p.Threads = 2, 3, 2
				p.Manufacturer, p.Version, p.Speed, p.Serial, p.Asset, p.Part = "p1", "p2", 3000, "p3", "p4", "p5"
				c.OEMStrings = []string{"hello", "world"}
				c.LowRAM, c.HighRAM = 3*gib, 17*gib
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := base
			test.change(&cfg)
			theirs := startQEMU(t, test.args...).tables()
			if cfg.BIOS == nil {
				cfg.BIOS = seaBIOS(t, theirs)
			}
			tables := mustBuild(t, cfg)
			if !bytes.Equal(headOf(theirs.Anchor), headOf(tables.Anchor)) {
				t.Errorf("entry point\n% x\nof QEMU:\n% x", tables.Anchor, theirs.Anchor)
			}
			compareLines(t, dmidecode(t, tables), meant(dmidecode(t, theirs), test.name))
		})
	}
}

// seaBIOS returns what SeaBIOS says of itself, of which its version differs from
// one installation to the next.
func seaBIOS(t *testing.T, tables *Tables) *BIOS {
	t.Helper()
	host, err := parseHost(tables.Data)
	if err != nil {
		t.Fatal(err)
	}
	want := BIOS{Vendor: "SeaBIOS", Version: host.BIOS.Version, Date: "04/01/2014", Release: "0.0"}
	if host.BIOS != want {
		t.Errorf("BIOS %+v, want %+v", host.BIOS, want)
	}
	return &want
}

// headOf cuts the sizes off an entry point, which differ with the manufacturer's
// name.
func headOf(anchor []byte) []byte {
	if bytes.HasPrefix(anchor, []byte(anchor64)) {
		return anchor[:tableMaxSize64]
	}
	return anchor[:8]
}

// meant applies to QEMU's tables what we do otherwise on purpose.
func meant(text, test string) string {
	// The manufacturer is us.
	text = strings.ReplaceAll(text, "Manufacturer: QEMU\n", "Manufacturer: govmm\n")
	if test == "emulate" {
		// SeaBIOS does not say that it runs in a virtual machine.
		const before = "\t\tTargeted content distribution is supported\n"
		text = strings.Replace(text, before, before+"\t\tSystem is a virtual machine\n", 1)
	}
	return text
}

// compareLines compares texts but for their first paragraph, which tells of the
// size of the tables.
func compareLines(t *testing.T, ours, theirs string) {
	t.Helper()
	_, ours, _ = strings.Cut(ours, "\n\n")
	_, theirs, _ = strings.Cut(theirs, "\n\n")
	a, b := strings.Split(ours, "\n"), strings.Split(theirs, "\n")
	if slices.Equal(a, b) {
		return
	}
	handle := ""
	for i := range min(len(a), len(b)) {
		if strings.HasPrefix(a[i], "Handle") {
			handle = a[i]
		}
		if a[i] != b[i] {
			t.Fatalf("%s: %q, QEMU has %q", handle, a[i], b[i])
		}
	}
	t.Fatalf("%d lines, QEMU has %d:\n%s\n%s", len(a), len(b), ours, theirs)
}

// TestSeaBIOS gives our tables to SeaBIOS by fw_cfg, as QEMU gives its own, and
// reads from guest memory what became of them.
func TestSeaBIOS(t *testing.T) {
	for _, v := range []Version{V2_8, V3_0} {
		for _, ownBIOS := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v BIOS %v", v, ownBIOS), func(t *testing.T) {
				cfg := fullConfig(v)
				if !ownBIOS {
					cfg.BIOS = nil
				}
				tables := mustBuild(t, cfg)
				dir := t.TempDir()
				// This old machine has no such files of its own.
				args := []string{"-M", "pc-i440fx-1.7", "-m", "128"}
				for name, data := range map[string][]byte{AnchorFile: tables.Anchor, TablesFile: tables.Data} {
					file := filepath.Join(dir, filepath.Base(name))
					if err := os.WriteFile(file, data, 0o600); err != nil {
						t.Fatal(err)
					}
					args = append(args, "-fw_cfg", "name="+name+",file="+file)
				}
				placed := startQEMU(t, args...).tables()
				want := tables
				if !ownBIOS {
					cfg.BIOS = seaBIOS(t, placed)
					want = mustBuild(t, cfg)
					want.Data[0x13] &^= biosVirtualMachine // see meant
				}
				if !bytes.Equal(placed.Data, want.Data) {
					t.Errorf("structures\n% x\nwant\n% x", placed.Data, want.Data)
				}
				if !bytes.Equal(placed.Anchor, want.Anchor) {
					t.Errorf("entry point\n% x\nwant\n% x", placed.Anchor, want.Anchor)
				}
			})
		}
	}
}
