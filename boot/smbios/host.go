package smbios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Host is what a host's tables tell, for a guest that is to show the same. The
// UUID is not among it, because it tells machines apart.
type Host struct {
	BIOS   BIOS
	System System
	// Notes say, a sentence each, what could not be taken over.
	Notes []string
}

// Files below /sys. The first two are readable by root only, as is the serial
// number among the others.
const (
	hostEntryPoint = "firmware/dmi/tables/smbios_entry_point"
	hostTable      = "firmware/dmi/tables/DMI"
	hostFields     = "class/dmi/id/"
)

// maxHostTable bounds what is read of a host's table, in bytes. The largest seen
// have some ten KiB.
const maxHostTable = 1 << 20

// ReadHost reads types 0 and 1 of the host whose /sys is sys: from the raw tables
// that the kernel shows or, where those cannot be read, from the files in
// class/dmi/id. It is an error if the host has neither, as in many containers and
// on machines without a BIOS.
//
// The values fit into a Config: characters that cannot be stored are replaced by
// dots, and a release date of another form is left out with a note.
func ReadHost(sys fs.FS) (*Host, error) {
	h, tableErr := readHostTable(sys)
	if tableErr != nil {
		var fieldErr error
		if h, fieldErr = readHostFields(sys); fieldErr != nil {
			return nil, fmt.Errorf("smbios: the host shows no SMBIOS values to copy: %w", errors.Join(tableErr, fieldErr))
		}
	}
	h.makeFit()
	return h, nil
}

func readHostTable(sys fs.FS) (*Host, error) {
	entry, err := readBounded(sys, hostEntryPoint, entryPoint32Size)
	if err != nil {
		return nil, err
	}
	size, err := parseEntryPoint(entry)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", hostEntryPoint, err)
	}
	table, err := readBounded(sys, hostTable, min(size, maxHostTable))
	if err != nil {
		return nil, err
	}
	h, err := parseHost(table)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", hostTable, err)
	}
	return h, nil
}

// readBounded reads the first n bytes of a file, or all if it has fewer.
func readBounded(sys fs.FS, name string, n int) ([]byte, error) {
	f, err := sys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(n)))
}

// parseEntryPoint checks an entry point structure and returns the bytes that the
// table has at most.
func parseEntryPoint(b []byte) (size int, err error) {
	text := string(b)
	switch {
	case strings.HasPrefix(text, anchor64):
		if b, err = checkEntryPoint(b, entryPoint64Size, checksum64+1); err != nil {
			return 0, err
		}
		return int(min(le.Uint32(b[tableMaxSize64:]), maxHostTable)), nil
	case strings.HasPrefix(text, anchor32):
		if b, err = checkEntryPoint(b, entryPoint32Size, checksum32+1); err != nil {
			return 0, err
		}
		return int(le.Uint16(b[tableLength32:])), nil
	case strings.HasPrefix(text, anchorLegacy):
		const legacySize, legacyTableLength = 15, 6
		if len(b) < legacySize || sum(b[:legacySize]) != 0 {
			return 0, errors.New("the entry point is truncated or its checksum is wrong")
		}
		return int(le.Uint16(b[legacyTableLength:])), nil
	}
	return 0, fmt.Errorf("%q is not the beginning of an SMBIOS entry point", clip(text))
}

// checkEntryPoint checks length and checksum. The length is in the byte at
// offset; some version 2.1 firmware says one too little, but a checksum of the
// whole structure that is right vouches for it.
func checkEntryPoint(b []byte, size, offset int) ([]byte, error) {
	if len(b) < size || int(b[offset]) > len(b) {
		return nil, fmt.Errorf("the entry point is truncated to %d bytes", len(b))
	}
	if length := int(b[offset]); sum(b[:length]) != 0 && sum(b[:size]) != 0 {
		return nil, errors.New("the entry point's checksum is wrong")
	}
	return b, nil
}

// parseHost reads the first structures of types 0 and 1 of a table.
func parseHost(table []byte) (*Host, error) {
	h := &Host{}
	var haveBIOS, haveSystem bool
	for len(table) > 0 && !(haveBIOS && haveSystem) {
		s, rest, err := nextStructure(table)
		if err != nil {
			return nil, err
		}
		switch {
		case s.kind == typeBIOS && !haveBIOS:
			h.BIOS, haveBIOS = hostBIOS(s), true
		case s.kind == typeSystem && !haveSystem:
			h.System, haveSystem = hostSystem(s), true
		case s.kind == typeEnd:
			rest = nil
		}
		table = rest
	}
	if !haveBIOS && !haveSystem {
		return nil, errors.New("the table has neither a BIOS nor a system structure")
	}
	return h, nil
}

// Offsets of the fields of types 0 and 1 in their structures.
const (
	biosVendor, biosVersion, biosDate = 0x04, 0x05, 0x08
	biosMajor, biosMinor              = 0x14, 0x15

	systemManufacturer, systemProduct, systemVersion = 0x04, 0x05, 0x06
	systemSerial, systemSKU, systemFamily            = 0x07, 0x19, 0x1A
)

func hostBIOS(s structure) BIOS {
	b := BIOS{Vendor: s.text(biosVendor), Version: s.text(biosVersion), Date: s.text(biosDate)}
	if len(s.formatted) > biosMinor {
		major, minor := s.formatted[biosMajor], s.formatted[biosMinor]
		if major != releaseNone || minor != releaseNone {
			b.Release = fmt.Sprintf("%d.%d", major, minor)
		}
	}
	return b
}

func hostSystem(s structure) System {
	return System{
		Manufacturer: s.text(systemManufacturer),
		Product:      s.text(systemProduct),
		Version:      s.text(systemVersion),
		Serial:       s.text(systemSerial),
		SKU:          s.text(systemSKU),
		Family:       s.text(systemFamily),
	}
}

// structure is one structure of a table.
type structure struct {
	kind      uint8
	formatted []byte // header and body
	strings   []string
}

// text returns the string whose number is at an offset. Older structures are
// shorter, and have no such field.
func (s structure) text(offset int) string {
	if offset >= len(s.formatted) {
		return ""
	}
	n := int(s.formatted[offset])
	if n == 0 || n > len(s.strings) {
		return ""
	}
	return s.strings[n-1]
}

// nextStructure cuts the first structure off a table.
func nextStructure(table []byte) (s structure, rest []byte, err error) {
	if len(table) < headerSize {
		return s, nil, errors.New("the table ends within a structure's header")
	}
	length := int(table[1])
	if length < headerSize || length > len(table) {
		return s, nil, fmt.Errorf("a structure of type %d says that it has %d bytes", table[0], length)
	}
	s = structure{kind: table[0], formatted: table[:length]}
	// Strings end at two zero bytes; a set without any consists of just those.
	set, rest, found := bytes.Cut(table[length:], []byte{0, 0})
	if !found {
		return s, nil, fmt.Errorf("the strings of a structure of type %d do not end", s.kind)
	}
	if len(set) > 0 {
		s.strings = strings.Split(string(set), "\x00")
	}
	return s, rest, nil
}
