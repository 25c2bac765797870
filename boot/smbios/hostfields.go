package smbios

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// hostField is one value of a host.
type hostField struct {
	file  string // in class/dmi/id
	name  string // for messages
	value *string
}

func (h *Host) fields() []hostField {
	return []hostField{
		{"bios_vendor", "BIOS vendor", &h.BIOS.Vendor},
		{"bios_version", "BIOS version", &h.BIOS.Version},
		{"bios_date", "BIOS date", &h.BIOS.Date},
		{"bios_release", "BIOS release", &h.BIOS.Release},
		{"sys_vendor", "system manufacturer", &h.System.Manufacturer},
		{"product_name", "system product", &h.System.Product},
		{"product_version", "system version", &h.System.Version},
		{"product_serial", "system serial", &h.System.Serial},
		{"product_sku", "system SKU", &h.System.SKU},
		{"product_family", "system family", &h.System.Family},
	}
}

// readHostFields reads the values one by one, as the kernel shows them. Those
// that the host does not have, or does not let us read, stay empty.
func readHostFields(sys fs.FS) (*Host, error) {
	h := &Host{}
	var first error // that a file was not there
	found := false
	for _, f := range h.fields() {
		text, err := readBounded(sys, hostFields+f.file, MaxString+1)
		switch {
		case err == nil:
			*f.value, found = string(text), true
		case errors.Is(err, fs.ErrNotExist):
		default:
			h.note("the host's %s cannot be read: %v", f.name, err)
		}
		if first == nil {
			first = err
		}
	}
	if !found {
		return nil, first
	}
	return h, nil
}

func (h *Host) note(format string, args ...any) {
	h.Notes = append(h.Notes, fmt.Sprintf(format, args...))
}

// makeFit turns what a firmware wrote into what Build takes.
func (h *Host) makeFit() {
	for _, f := range h.fields() {
		*f.value = trim(*f.value)
		if len(*f.value) > MaxString {
			h.note("the host's %s was cut to %d bytes", f.name, MaxString)
			*f.value = trim((*f.value)[:MaxString])
		}
		*f.value = dotted(*f.value)
	}
	if err := checkDate(h.BIOS.Date); err != nil {
		h.note("the host's BIOS date was left out: %v", err)
		h.BIOS.Date = ""
	}
	if _, _, err := parseRelease(h.BIOS.Release); err != nil {
		h.note("the host's BIOS release was left out: %v", err)
		h.BIOS.Release = ""
	}
}

// dotted replaces each byte that cannot be stored by a dot, as inventory programs
// do when they print it.
func dotted(text string) string {
	if checkString(text) == nil {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if !printable(c) {
			c = '.'
		}
		b.WriteByte(c)
	}
	return b.String()
}
