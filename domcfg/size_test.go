package domcfg

import "testing"

func TestParseKiB(t *testing.T) {
	for text, want := range map[string]KiB{
		"0": 0, "4096": 4096, "512MiB": 512 << 10, "1g": 1 << 20, "3 KiB": 3, "1b": 1, "1KB": 1, "2000KB": 1954,
	} {
		if got, err := ParseKiB(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MiB", "-1", "1.5G", "1x", "99999999999999999999", "18446744073709551615G"} {
		if got, err := ParseKiB(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
