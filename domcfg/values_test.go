package domcfg

import (
	"slices"
	"strings"
	"testing"
)

func TestMemoryUnits(t *testing.T) {
	for _, c := range []struct {
		xml  string
		want KiB
	}{
		{"<memory>524288</memory>", 524288},
		{"<memory> 524288\n</memory>", 524288},
		{"<memory unit=''>7</memory>", 7},
		{"<memory unit='b'>1</memory>", 1},
		{"<memory unit='bytes'>1025</memory>", 2},
		{"<memory unit='KB'>1024</memory>", 1000},
		{"<memory unit='k'>3</memory>", 3},
		{"<memory unit='KiB'>3</memory>", 3},
		{"<memory unit='kib'>3</memory>", 3},
		{"<memory unit='MB'>1</memory>", 977},
		{"<memory unit='M'>1</memory>", 1024},
		{"<memory unit='MiB'>1</memory>", 1024},
		{"<memory unit='GB'>1</memory>", 976563},
		{"<memory unit='g'>1</memory>", 1 << 20},
		{"<memory unit='GiB'>1</memory>", 1 << 20},
		{"<memory unit='TiB'>1</memory>", 1 << 30},
		{"<memory unit='TB'>1</memory>", 976562500},
		{"<memory unit='PiB'>1</memory>", 1 << 40},
		{"<memory unit='EiB'>1</memory>", 1 << 50},
	} {
		d, _, err := Parse("vm.xml", strings.NewReader("<domain type='kvm'><name>a</name>"+c.xml+"<os><type>hvm</type></os></domain>"))
		if err != nil {
			t.Errorf("%s: %v", c.xml, err)
			continue
		}
		if d.Memory != c.want {
			t.Errorf("%s is %d KiB, want %d", c.xml, d.Memory, c.want)
		}
	}
	if got := KiB(3).Bytes(); got != 3072 {
		t.Errorf("3 KiB are %d bytes", got)
	}
}

func TestMemoryTuneUnits(t *testing.T) {
	d, _, err := Parse("vm.xml", strings.NewReader(inDomain(`<memtune><hard_limit unit='MiB'>2</hard_limit><soft_limit unit='bytes'>1</soft_limit>
<swap_hard_limit unit='GB'>1</swap_hard_limit><min_guarantee>9</min_guarantee></memtune><currentMemory unit='MiB'>1</currentMemory>`)))
	if err != nil {
		t.Fatal(err)
	}
	m := d.MemTune
	got := []KiB{m.HardLimit, m.SoftLimit, m.SwapHardLimit, m.MinGuarantee, d.CurrentMemory}
	if want := []KiB{2048, 1, 976563, 9, 1024}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCPUSet(t *testing.T) {
	for _, c := range []struct{ text, want, err string }{
		{"0", "0", ""},
		{"1-4,^3,6", "1-2,4,6", ""},
		{"^3,1-4", "1-4", ""}, // a caret only takes from what stands before it
		{"3,2,1", "1-3", ""},
		{" 1 - 2 , ^ 1 ", "2", ""},
		{"0-8191", "0-8191", ""},
		{"8191", "8191", ""},
		{"1,1,1", "1", ""},
		{"", "", "is not a list"},
		{",", "", "is not a list"},
		{"1,", "", "is not a list"},
		{"a", "", "is not a list"},
		{"1-", "", "is not a list"},
		{"-1", "", "is not a list"},
		{"+1", "", "is not a list"},
		{"0x1", "", "is not a list"},
		{"^1-2", "", "is not a list"},
		{"5-4", "", "runs backwards"},
		{"8192", "", "the largest is 8191"},
		{"99999999999999999999", "", "is not a list"},
		{"1,^1", "", "leaves no CPU"},
		{strings.Repeat("1,", maxCPUItems) + "1", "", "more than 1024 items"},
	} {
		set, err := ParseCPUSet(c.text)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%.20q: error %v, want %q", c.text, err, c.err)
			}
			continue
		}
		if err != nil || set.String() != c.want {
			t.Errorf("%q is %q (%v), want %q", c.text, set, err, c.want)
		}
	}
	set, err := ParseCPUSet("1-3,7")
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Collect(set.All()); !slices.Equal(got, []int{1, 2, 3, 7}) {
		t.Errorf("All gives %v", got)
	}
	if set.Contains(0) || !set.Contains(2) || set.Contains(5) || !set.Contains(7) {
		t.Error("Contains is wrong")
	}
	for range set.All() {
		break // must not go on after the loop has ended
	}
}

func FuzzCPUSet(f *testing.F) {
	f.Add("1-4,^3,6")
	f.Add("^0,8191")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParseCPUSet(text)
		if err != nil {
			return
		}
		again, err := ParseCPUSet(set.String())
		if err != nil || !slices.Equal(set, again) {
			t.Errorf("%q became %q, then %q (%v)", text, set, again, err)
		}
	})
}

func TestUUID(t *testing.T) {
	const want = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
	for _, text := range []string{want, "4dea22b31d52d8f32516782e98ab3fa0", " 4DEA22B3-1D52-D8F3-2516-782E98AB3FA0\n", "4dea 22b3 1d52 d8f3 2516 782e 98ab 3fa0"} {
		if u, err := ParseUUID(text); err != nil || u.String() != want {
			t.Errorf("%q is %s (%v), want %s", text, u, err, want)
		}
	}
	for _, text := range []string{"", "4dea22b31d52d8f32516782e98ab3fa", "4dea22b31d52d8f32516782e98ab3fa00", "gdea22b31d52d8f32516782e98ab3fa0", strings.Repeat("0", 32)} {
		if u, err := ParseUUID(text); err == nil {
			t.Errorf("%q is taken as %s", text, u)
		}
	}
	if got := (UUID{}).String(); got != "" {
		t.Errorf("no UUID is written as %q", got)
	}
}

func TestMAC(t *testing.T) {
	for text, want := range map[string]string{
		"52:54:00:12:34:56": "52:54:00:12:34:56",
		"FA:16:3E:5D:0A:77": "fa:16:3e:5d:0a:77",
		"0:1:2:3:4:5":       "00:01:02:03:04:05",
	} {
		if m, err := ParseMAC(text); err != nil || m.String() != want {
			t.Errorf("%q is %s (%v), want %s", text, m, err, want)
		}
	}
	for _, text := range []string{"", "1:2:3:4:5", "2:2:3:4:5:6:7", "52:54:00:12:34:567", "52-54-00-12-34-56", "53:54:00:12:34:56", "0:0:0:0:0:0", "52:54:00:12:34:+6", "52:54:00:12:34:"} {
		if m, err := ParseMAC(text); err == nil {
			t.Errorf("%q is taken as %s", text, m)
		}
	}
}

func TestParseUint(t *testing.T) {
	for _, c := range []struct {
		text string
		base int
		want uint64
		err  error
	}{
		{"10", 10, 10, nil},
		{" 10 ", 10, 10, nil},
		{"010", 10, 10, nil},
		{"0x10", 10, 0, errSyntax},
		{"10", 0, 10, nil},
		{"010", 0, 8, nil},
		{"0x1F", 0, 31, nil},
		{"0X1f", 0, 31, nil},
		{"0", 0, 0, nil},
		{"08", 0, 0, errSyntax},
		{"0x", 0, 0, errSyntax},
		{"0b1", 0, 0, errSyntax},
		{"1_0", 0, 0, errSyntax},
		{"-1", 0, 0, errSyntax},
		{"+1", 0, 0, errSyntax},
		{"0x-1", 0, 0, errSyntax},
		{"", 10, 0, errSyntax},
		{"99999999999999999999", 10, 0, errRange},
		{"0xfffffffffffffffff", 0, 0, errRange},
	} {
		if got, err := parseUint(c.text, c.base); got != c.want || err != c.err {
			t.Errorf("parseUint(%q, %d) = %d, %v, want %d, %v", c.text, c.base, got, err, c.want, c.err)
		}
	}
}

func TestSplitTarget(t *testing.T) {
	for dev, want := range map[string]struct {
		prefix string
		index  uint
	}{
		"hda": {"hd", 0}, "hdz": {"hd", 25}, "hdaa": {"hd", 26}, "hdaz": {"hd", 51}, "hdba": {"hd", 52},
		"sdzz": {"sd", 701}, "sdaaa": {"sd", 702}, "vdb": {"vd", 1}, "xvdc": {"xvd", 2}, "fdb": {"fd", 1}, "xvda1": {"xvd", 0},
	} {
		prefix, index, ok := splitTarget(dev)
		if !ok || prefix != want.prefix || index != want.index {
			t.Errorf("splitTarget(%q) = %q, %d, %v, want %q, %d", dev, prefix, index, ok, want.prefix, want.index)
		}
	}
	for _, dev := range []string{"", "hd", "hd1", "hdA", "sda-1", "disk", "hdaaaaa", "hdä"} {
		if prefix, index, ok := splitTarget(dev); ok {
			t.Errorf("splitTarget(%q) = %q, %d", dev, prefix, index)
		}
	}
}

func TestCPUNames(t *testing.T) {
	if !slices.IsSorted(cpuModels) || !slices.IsSorted(cpuFeatures) {
		t.Error("the lists of CPU models and features must be sorted")
	}
	if len(cpuModels) != 58 || len(cpuFeatures) != 212 {
		t.Errorf("%d models and %d features, want 58 and 212", len(cpuModels), len(cpuFeatures))
	}
	for _, name := range []string{"486", "qemu64", "Westmere", "Opteron_G3", "EPYC-Milan", "Dhyana"} {
		if !IsCPUModel(name) {
			t.Errorf("model %s is missing", name)
		}
	}
	for _, name := range []string{"3dnow", "lahf_lm", "sse4.1", "svm", "nx", "tsx-ctrl", "split-lock-detect"} {
		if !IsCPUFeature(name) {
			t.Errorf("feature %s is missing", name)
		}
	}
}

func TestParseWWN(t *testing.T) {
	for text, want := range map[string]WWN{
		"5000c50015ea71ad":     0x5000c50015ea71ad,
		" 5000C50015EA71AD \n": 0x5000c50015ea71ad,
		"0000000000000001":     1,
		"0000000000000000":     0,
	} {
		got, err := ParseWWN(text)
		if err != nil || got != want {
			t.Errorf("%q is %#x, %v; want %#x", text, uint64(got), err, uint64(want))
		}
		if again, err := ParseWWN(got.String()); got != 0 && (err != nil || again != got) {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	for _, text := range []string{"", "1", "5000c50015ea71a", "5000c50015ea71adf", "0x00c50015ea71ad", "5000c50015ea71ag", "-000c50015ea71ad", "+000c50015ea71ad"} {
		if got, err := ParseWWN(text); err == nil {
			t.Errorf("%q is accepted as %s", text, got)
		}
	}
}
