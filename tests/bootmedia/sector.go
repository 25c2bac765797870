package bootmedia

import (
	"context"
	"embed"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

//go:embed src/*.S
var sources embed.FS

var assembleFlags = []string{
	"-m32", "-nostdlib", "-static", "-no-pie",
	"-Wl,--build-id=none", "-Wl,-Ttext=0x7c00", "-Wl,--oformat=binary",
}

// sourceKey covers the programs in src and how they are assembled.
func sourceKey() []string {
	key := slices.Clone(assembleFlags)
	for _, name := range []string{"console.S", "boot.S", "pxe.S"} {
		text, err := sources.ReadFile("src/" + name)
		if err != nil {
			panic(err) // embedded
		}
		key = append(key, string(text))
	}
	return key
}

// assemble returns the program src/NAME.S as it is loaded to 7C00h. It works in
// dir and leaves nothing there.
func assemble(ctx context.Context, dir, name string) ([]byte, error) {
	src, err := os.MkdirTemp(dir, "src-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(src)
	if err := os.CopyFS(src, sources); err != nil {
		return nil, err
	}
	out := filepath.Join(src, name+".bin")
	if _, err := gcc.run(ctx, filepath.Join(src, "src"), append(slices.Clone(assembleFlags), "-o", out, name+".S")...); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// Sizes in bytes.
const (
	sectorSize   = 512
	cdSectorSize = 2048
	programSize  = 8 * sectorSize // of src/boot.S

	floppy1440 = 80 * 2 * 18 * sectorSize
	floppy2880 = 80 * 2 * 36 * sectorSize
	diskSize   = 8 << 20
)

// diskProbe is the sector to be found on a disk. A BIOS may leave out the disk's
// end when it makes up a geometry.
const diskProbe = 12345

// Where src/boot.S has its parameters.
const (
	probeOffset = 0x180 // 4 bytes
	cdOffset    = 0x184
	labelOffset = 0x188
	labelSize   = 16 // with the zero at its end
)

// bootSector is an image of size bytes that boots, and has the sector to be
// found as its last, or on a disk as diskProbe. unit is the size of its sectors.
func bootSector(program []byte, label string, size, unit int) ([]byte, error) {
	if len(program) != programSize || len(label) >= labelSize {
		return nil, fmt.Errorf("a program of %d bytes for %q", len(program), label)
	}
	image := make([]byte, size)
	copy(image, program)
	probe := uint32(size/unit - 1)
	if size == diskSize {
		probe = diskProbe
	}
	binary.LittleEndian.PutUint32(image[probeOffset:], probe)
	if unit == cdSectorSize {
		image[cdOffset] = 1
	}
	copy(image[labelOffset:labelOffset+labelSize], label)

	found := image[int(probe)*unit:]
	copy(found, "GOVMMSEC")
	binary.LittleEndian.PutUint32(found[8:], probe)
	for i := 3; i < unit/4; i++ {
		binary.LittleEndian.PutUint32(found[4*i:], probe+uint32(i))
	}
	return image, nil
}

// writeBootSector makes such an image in dir.
func writeBootSector(ctx context.Context, dir, file, label string, size, unit int) error {
	program, err := assemble(ctx, dir, "boot")
	if err != nil {
		return err
	}
	image, err := bootSector(program, label, size, unit)
	if err != nil {
		return err
	}
	if unit == sectorSize && size == diskSize {
		putPartition(image, partition{kind: partitionNonFS, first: firstPartition, sectors: uint32(size/sectorSize) - firstPartition})
	}
	return os.WriteFile(filepath.Join(dir, file), image, 0o644)
}

// label is the word for a medium in what its boot sector prints.
func label(name string) string { return name[len("sector-"):] }

func sectorDisk(name string) plan {
	return plan{file: "disk.img", key: sourceKey(), make: func(ctx context.Context, dir string) error {
		return writeBootSector(ctx, dir, "disk.img", label(name), diskSize, sectorSize)
	}}
}

func sectorFloppy(name string, size int) plan {
	return plan{file: "floppy.img", key: sourceKey(), make: func(ctx context.Context, dir string) error {
		return writeBootSector(ctx, dir, "floppy.img", label(name), size, sectorSize)
	}}
}

// sectorCD is an El Torito CD without emulation: the BIOS loads the program,
// and the sector to be found is the image's last.
func sectorCD(name string) (plan, error) {
	const imageSize = 64 * cdSectorSize
	return isoPlan(sourceKey(), []string{"-no-emul-boot", "-boot-load-size", fmt.Sprint(programSize / sectorSize)},
		func(ctx context.Context, dir, file string) error {
			return writeBootSector(ctx, dir, file, label(name), imageSize, cdSectorSize)
		})
}

// sectorFloppyCD is one whose image is a floppy of 1.44 MB.
func sectorFloppyCD(name string) (plan, error) {
	return isoPlan(sourceKey(), nil, func(ctx context.Context, dir, file string) error {
		return writeBootSector(ctx, dir, file, label(name), floppy1440, sectorSize)
	})
}

// pxeProgram is a directory with the network bootstrap program.
func pxeProgram() plan {
	return plan{file: ".", key: sourceKey(), make: func(ctx context.Context, dir string) error {
		program, err := assemble(ctx, dir, "pxe")
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "pxe.bin"), program, 0o644)
	}}
}
