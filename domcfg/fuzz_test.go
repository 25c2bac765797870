package domcfg

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// FuzzParse checks that no input makes Parse panic, and that whatever it accepts survives Format,
// SetDefaults, AssignAddresses and Unsupported.
func FuzzParse(f *testing.F) {
	for _, file := range corpus(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(checkInput)
}

// checkInput checks all that must hold for any input.
func checkInput(t *testing.T, data []byte) {
	d, _, err := Parse("fuzz.xml", bytes.NewReader(data))
	if err != nil {
		if d != nil {
			t.Error("a domain is returned beside the error")
		}
		return
	}
	checkIdentity(t, d)
	if err := d.Validate(); err != nil {
		t.Errorf("Parse accepts what Validate refuses: %v", err)
	}
	before := Unsupported(d)
	if err := d.SetDefaults(testRandom()); err != nil {
		t.Errorf("SetDefaults: %v", err)
	}
	if err := d.AssignAddresses(); err != nil {
		return // more devices than slots
	}
	checkIdentity(t, d)
	if err := d.Validate(); err != nil {
		t.Errorf("the completed domain is refused: %v\n%s", err, format(t, d))
	}
	if after := Unsupported(d); len(before) > 0 && len(after) == 0 {
		t.Error("completing the domain has made all refusals vanish")
	}
}

// FuzzElements changes realistic domains element by element: mutated bytes alone are hardly ever
// XML. Each three bytes of the script change one element.
func FuzzElements(f *testing.F) {
	var trees []*node
	var values []string // what attributes of the corpus hold
	for i, file := range corpus(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		root, err := readTree(file, bytes.NewReader(data))
		if err != nil {
			f.Fatal(err)
		}
		trees = append(trees, root)
		for _, n := range allNodes(root) {
			for _, a := range n.attrs {
				values = append(values, a.value)
			}
		}
		f.Add(uint8(i), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8})
	}
	f.Fuzz(func(t *testing.T, which uint8, script []byte) {
		root := trees[int(which)%len(trees)].copy()
		for len(script) >= 3 {
			mutate(root, trees, values, script[0], script[1], script[2])
			script = script[3:]
		}
		var b bytes.Buffer
		if err := writeTree(&b, root); err != nil {
			t.Fatal(err)
		}
		checkInput(t, b.Bytes())
	})
}

func allNodes(n *node) []*node {
	list := []*node{n}
	for _, c := range n.children {
		list = append(list, allNodes(c)...)
	}
	return list
}

// mutate makes one change to one element of the tree.
func mutate(root *node, trees []*node, values []string, op, where, what byte) {
	nodes := allNodes(root)
	if len(nodes) > 2000 {
		return
	}
	n := nodes[int(where)%len(nodes)]
	switch op % 8 {
	case 0: // drop an attribute
		if len(n.attrs) > 0 {
			i := int(what) % len(n.attrs)
			n.attrs = append(n.attrs[:i:i], n.attrs[i+1:]...)
		}
	case 1: // another value, of any attribute of the corpus
		if len(n.attrs) > 0 {
			n.attrs[int(what)%len(n.attrs)].value = values[(int(where)*257+int(what))%len(values)]
		}
	case 2: // drop a child
		if len(n.children) > 0 {
			i := int(what) % len(n.children)
			n.children = append(n.children[:i:i], n.children[i+1:]...)
		}
	case 3: // double a child
		if len(n.children) > 0 {
			n.append(n.children[int(what)%len(n.children)].copy())
		}
	case 4: // an element of another domain
		others := allNodes(trees[int(what)%len(trees)])
		n.append(others[int(where)*7%len(others)].copy())
	case 5: // an attribute of another domain
		others := allNodes(trees[int(what)%len(trees)])
		other := others[int(where)*13%len(others)]
		if len(other.attrs) > 0 && n.attr(other.attrs[0].name) == nil {
			n.attrs = append(n.attrs, attribute{name: other.attrs[0].name, value: other.attrs[0].value})
		}
	case 6: // other text
		n.text = values[(int(where)*31+int(what))%len(values)]
	case 7:
		n.text = ""
	}
}

// fiftyDisks is a domain with 50 disks on virtio and SCSI.
func fiftyDisks() string {
	var b strings.Builder
	for i := range 25 {
		fmt.Fprintf(&b, `
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' io='native' error_policy='stop'/>
      <source file='/var/lib/images/data-%02d.qcow2'/>
      <target dev='vd%c' bus='virtio'/>
      <serial>DATA-%04d</serial>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x%02x' function='0x0'/>
    </disk>
    <disk type='block' device='disk'>
      <driver name='qemu' type='raw' cache='writeback'/>
      <source dev='/dev/mapper/vol-%02d'/>
      <target dev='sd%c' bus='scsi'/>
      <shareable/>
    </disk>`, i, 'a'+i, i, i+3, i, 'a'+i)
	}
	return inDevices(b.String())
}

// BenchmarkParse50Disks is Parse with all its checks; 2 ms are the bound.
func BenchmarkParse50Disks(b *testing.B) {
	text := fiftyDisks()
	if _, _, err := Parse("vm.xml", strings.NewReader(text)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := Parse("vm.xml", strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFormat50Disks(b *testing.B) {
	d, _, err := Parse("vm.xml", strings.NewReader(fiftyDisks()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := d.Format(&out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnsupported50Disks(b *testing.B) {
	d, _, err := Parse("vm.xml", strings.NewReader(fiftyDisks()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(Unsupported(d)) == 0 {
			b.Fatal("nothing is refused")
		}
	}
}
