package firmware

import (
	"encoding/binary"
	"fmt"

	"github.com/govmm/govmm/boot/acpi"
)

// Files of the ACPI tables, and of the commands by which firmware places them.
const (
	fileRSDP   = "etc/acpi/rsdp"
	fileTables = "etc/acpi/tables"
	fileLoader = "etc/table-loader"
)

// Commands of the table loader. Each takes 128 bytes: the command, its operands
// without padding, and zeros. File names take 56 bytes.
const (
	loaderAllocate    = 1
	loaderAddPointer  = 2
	loaderAddChecksum = 3

	zoneHigh = 1 // anywhere below 4 GiB
	zoneFSeg = 2 // where the RSDP is searched for

	loaderCommandSize = 128
)

type fileName [56]byte

// allocate copies a file to guest memory.
type allocate struct {
	Command uint32
	File    fileName
	Align   uint32
	Zone    uint8
}

// addPointer adds the address of file Source to a field of file Dest.
type addPointer struct {
	Command      uint32
	Dest, Source fileName
	Offset       uint32
	Size         uint8
}

// addChecksum subtracts the sum of a range from a byte of the same file.
type addChecksum struct {
	Command               uint32
	File                  fileName
	Offset, Start, Length uint32
}

// acpi adds the tables and the loader's commands: first the files are placed,
// then pointers and checksums are made in the order of the lists.
func (b *builder) acpi(t *acpi.Tables) error {
	names := map[acpi.Blob]fileName{acpi.RSDP: nameOf(fileRSDP), acpi.Data: nameOf(fileTables)}
	commands := []any{
		allocate{loaderAllocate, names[acpi.RSDP], acpi.RSDPAlign, zoneFSeg},
		allocate{loaderAllocate, names[acpi.Data], acpi.DataAlign, zoneHigh},
	}
	for _, p := range t.Pointers {
		commands = append(commands,
			addPointer{loaderAddPointer, names[p.In], names[p.To], uint32(p.Offset), uint8(p.Size)})
	}
	for _, c := range t.Checksums {
		commands = append(commands,
			addChecksum{loaderAddChecksum, names[c.In], uint32(c.Offset), uint32(c.Start), uint32(c.Length)})
	}
	script, err := encode(commands)
	if err != nil {
		return err
	}
	b.file(fileRSDP, t.RSDP)
	b.file(fileTables, t.Data)
	b.file(fileLoader, script)
	return nil
}

func nameOf(s string) (n fileName) {
	copy(n[:len(n)-1], s) // a zero ends it
	return n
}

func encode(commands []any) ([]byte, error) {
	script := make([]byte, 0, len(commands)*loaderCommandSize)
	for i, c := range commands {
		var err error
		if script, err = binary.Append(script, le, c); err != nil {
			return nil, fmt.Errorf("table loader: %w", err)
		}
		script = append(script, make([]byte, (i+1)*loaderCommandSize-len(script))...)
	}
	return script, nil
}
