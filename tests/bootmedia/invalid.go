package bootmedia

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Sizes in bytes of the media that are not what they should be.
const (
	oddFloppySize = 1_000_000 // no whole number of sectors, and no floppy's
	garbageSize   = 1 << 20
)

// invalid are the media that are nothing at all.
func invalid(name string) plan {
	content := map[string]func(file string) error{
		"empty-disk": func(file string) error { return os.WriteFile(file, nil, 0o644) },
		"directory":  func(file string) error { return os.Mkdir(file, 0o755) },
		"odd-floppy": func(file string) error { return os.WriteFile(file, make([]byte, oddFloppySize), 0o644) },
		"garbage-cd": func(file string) error {
			noise := make([]byte, garbageSize)
			rand.NewChaCha8([32]byte{}).Read(noise) // never an error; the same each time
			return os.WriteFile(file, noise, 0o644)
		},
	}[name]
	return plan{file: name, key: []string{"1"}, make: func(_ context.Context, dir string) error {
		return content(filepath.Join(dir, name))
	}}
}

// damagedCD is the CD of the file whole, with its boot image cut off or its
// boot catalog made wrong.
func damagedCD(name, whole string) plan {
	return plan{file: "cd.iso", key: []string{whole}, make: func(_ context.Context, dir string) error {
		iso, err := os.ReadFile(whole)
		if err != nil {
			return err
		}
		catalog, image, err := elTorito(iso)
		if err != nil {
			return fmt.Errorf("%s: %w", whole, err)
		}
		switch name {
		case "truncated-cd":
			iso = iso[:image]
		case "bad-catalog-cd":
			iso[catalog+30] = 0 // of the validation entry's key bytes 55h AAh
		}
		return os.WriteFile(filepath.Join(dir, "cd.iso"), iso, 0o644)
	}}
}

// elTorito returns where a CD's boot catalog and the image of its default entry
// are, in bytes (El Torito Bootable CD-ROM Format Specification 1.0, figures 2
// to 4 and 7): the boot record is sector 17, with the catalog's sector at 47h;
// the default entry is the catalog's second, of 32 bytes, with the image's
// sector at 8.
func elTorito(iso []byte) (catalog, image int, err error) {
	const record = 17 * cdSectorSize
	if len(iso) < record+cdSectorSize || string(iso[record+7:record+30]) != "EL TORITO SPECIFICATION" {
		return 0, 0, fmt.Errorf("no El Torito boot record")
	}
	catalog = int(binary.LittleEndian.Uint32(iso[record+0x47:])) * cdSectorSize
	if catalog+64 > len(iso) || iso[catalog] != 1 || iso[catalog+32] != 0x88 {
		return 0, 0, fmt.Errorf("no boot catalog")
	}
	image = int(binary.LittleEndian.Uint32(iso[catalog+32+8:])) * cdSectorSize
	if image >= len(iso) {
		return 0, 0, fmt.Errorf("no boot image")
	}
	return catalog, image, nil
}
