package smbios

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// dmidecode returns what the program of that name prints of tables.
func dmidecode(t *testing.T, tables *Tables) string {
	t.Helper()
	// The layout of its dumps: the entry point at 0, the structures at 32.
	const structures = 32
	dump := make([]byte, structures)
	copy(dump, tables.anchorTo(structures))
	dump = append(dump, tables.Data...)
	return runDmidecode(t, dump, "--from-dump")
}

// runDmidecode gives a file to dmidecode by the option that is last, and returns
// what it prints but for its version and the file's name.
func runDmidecode(t *testing.T, data []byte, options ...string) string {
	t.Helper()
	path, err := exec.LookPath("dmidecode")
	if err != nil {
		t.Fatalf("%v: install the package dmidecode", err)
	}
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append(options, file)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.Bytes())
	}
	_, head, _ := strings.Cut(string(out), "\n")
	_, text, found := strings.Cut(head, "\n")
	if !found {
		t.Fatalf("%v printed\n%s", cmd, out)
	}
	return text
}

// TestFoundInMemory lets dmidecode find placed tables in the first MiB of memory.
func TestFoundInMemory(t *testing.T) {
	for _, v := range []Version{V2_8, V3_0} {
		for _, addrs := range [][2]uint64{{0xF_0020, 0xF_0000}, {0xE_0004, 0xF_FFE0}} {
			tables := mustBuild(t, fullConfig(v))
			image, err := tables.Place(addrs[0], addrs[1])
			if err != nil {
				t.Fatal(err)
			}
			memory := make([]byte, mib)
			copy(memory[image.AnchorAddr:], image.Anchor)
			copy(memory[image.DataAddr:], image.Data)
			_, got, _ := strings.Cut(runDmidecode(t, memory, "--no-sysfs", "--dev-mem"), "\n\n")
			_, want, _ := strings.Cut(dmidecode(t, tables), "\n\n")
			if got != want || got == "" {
				t.Errorf("version %v at %#x:\n%s", v, addrs, got)
			}
		}
	}
}

// TestDmidecode compares all that dmidecode prints of a machine.
func TestDmidecode(t *testing.T) {
	for name, cfg := range map[string]Config{
		"minimal-2.8": {LowRAM: 128 * mib},
		"full-2.8":    fullConfig(V2_8),
		"full-3.0":    fullConfig(V3_0),
		"huge-3.0": {
			Version: V3_0, BIOS: DefaultBIOS(),
			LowRAM: 3 * gib, HighRAM: 5*tib - 3*gib, DIMMSize: 4 * tib,
			Processors: Processors{Cores: 300, Threads: 2, Family: 0x118},
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := dmidecode(t, mustBuild(t, cfg))
			for _, complaint := range []string{"<OUT OF SPEC>", "<BAD INDEX>", "Invalid", "Wrong", "TRUNCATED", "Announced"} {
				if strings.Contains(text, complaint) {
					t.Errorf("dmidecode complains: %s", complaint)
				}
			}
			golden(t, name+".txt", text)
		})
	}
}
