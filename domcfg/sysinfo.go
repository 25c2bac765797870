package domcfg

import "strings"

// SysInfo is the element sysinfo: the values of the guest's SMBIOS structures.
type SysInfo struct {
	Elem
	Type   string // smbios
	BIOS   []*SysInfoEntry
	System []*SysInfoEntry

	// Newer than the document.
	BaseBoard  []*SysInfoEntry
	Chassis    []*SysInfoEntry
	OEMStrings []*SysInfoString
}

// SysInfoEntry is one field of an SMBIOS structure. Entry reads it.
type SysInfoEntry struct {
	Elem
	Name  string
	Value string
}

// SysInfoString is one of the vendor's own strings.
type SysInfoString struct {
	Elem
	Value string
}

// Entry returns the value of the last entry of that name, without white space around it; libvirt
// lets the last one win.
func Entry(entries []*SysInfoEntry, name string) (value string, found bool) {
	for _, e := range entries {
		if e.Name == name {
			value, found = trimEntry(e.Value), true
		}
	}
	return value, found
}

// trimEntry removes the layout of the file from a value.
func trimEntry(text string) string { return strings.Trim(text, " \t\r\n") }

// maxEntry is the longest string in bytes. SMBIOS has no limit (6.1.3), its readers have.
const maxEntry = 4096

// isEntryText reports whether SMBIOS structures can hold a string: it has one that is not too long,
// of characters that all readers understand.
func isEntryText(text string) bool {
	text = trimEntry(text)
	return len(text) <= maxEntry && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

func (s *SysInfo) code(c *coder) {
	enum(c.attr("type").required(), &s.Type, "smbios", "fwcfg")
	block := func(name string, entries *[]*SysInfoEntry) {
		c.group(name, func(c *coder) { children(c, "entry", entries) })
	}
	block("bios", &s.BIOS)
	block("system", &s.System)
	block("baseBoard", &s.BaseBoard)
	block("chassis", &s.Chassis)
	c.group("oemStrings", func(c *coder) { children(c, "entry", &s.OEMStrings) })
}

func (e *SysInfoEntry) code(c *coder) {
	c.attr("name").required().str(&e.Name)
	c.body().str(&e.Value)
}

func (s *SysInfoString) code(c *coder) { c.body().str(&s.Value) }
