package smbios

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Structure types.
const (
	typeBIOS         = 0
	typeSystem       = 1
	typeBaseBoard    = 2
	typeChassis      = 3
	typeProcessor    = 4
	typeOEMStrings   = 11
	typeMemoryArray  = 16
	typeMemoryDevice = 17
	typeMapped       = 19
	typeBoot         = 32
	typeEnd          = 127
)

// The bodies of the structures that name things. Fields in comments "string" are
// numbers of strings, 0 for none.
type (
	// biosInformation is the body of type 0 (section 7.1).
	biosInformation struct {
		Vendor, Version uint8  // strings
		Segment         uint16 // of the BIOS's first byte below 1 MiB
		Date            uint8  // string
		ROMSize         uint8  // in units of 64 KiB, less one
		Characteristics uint64
		Extension       [2]uint8
		Major, Minor    uint8    // release
		Controller      [2]uint8 // release of the embedded controller
	}
	// systemInformation is the body of type 1 (section 7.2).
	systemInformation struct {
		Manufacturer, Product, Version, Serial uint8 // strings
		UUID                                   [16]byte
		WakeUp                                 uint8
		SKU, Family                            uint8 // strings
	}
	// baseBoardInformation is the body of type 2 (section 7.3).
	baseBoardInformation struct {
		Manufacturer, Product, Version, Serial, Asset uint8 // strings
		Features                                      uint8
		Location                                      uint8 // string
		Chassis                                       uint16
		Type                                          uint8
		Contained                                     uint8 // number of handles that follow
	}
	// chassisInformation is the body of type 3 (section 7.4).
	chassisInformation struct {
		Manufacturer                       uint8 // string
		Type                               uint8
		Version, Serial, Asset             uint8 // strings
		BootUp, PowerSupply, Thermal       uint8
		Security                           uint8
		OEM                                uint32
		Height, PowerCords                 uint8 // 0: not specified
		ContainedElements, ContainedLength uint8
		SKU                                uint8 // string
	}
	// bootInformation is the body of type 32 (section 7.33).
	bootInformation struct {
		_      [6]uint8
		Status uint8 // 0: no errors detected
	}
)

// Values of type 0 (sections 7.1.1 and 7.1.2).
const (
	biosSegment         = 0xE800
	biosNotSupported    = 1 << 3 // Characteristics: there are none to tell
	biosTargetedContent = 1 << 2 // Extension[1]
	biosUEFI            = 1 << 3 // Extension[1]
	biosVirtualMachine  = 1 << 4 // Extension[1]
	releaseNone         = 0xFF
)

// Values of types 1 to 3.
const (
	wakeUpPowerSwitch  = 6 // section 7.2.2
	boardHosting       = 1 // section 7.3.1
	boardMother        = 0x0A
	chassisOther       = 1 // section 7.4.1
	chassisSafe        = 3 // section 7.4.2
	chassisSecurityAny = 2 // section 7.4.3: unknown
)

func (b *builder) bios(f *BIOS) {
	major, minor, err := parseRelease(trim(f.Release))
	if err != nil {
		b.fail(fmt.Errorf("BIOS release %w", err))
	}
	if err := checkDate(trim(f.Date)); err != nil {
		b.fail(fmt.Errorf("BIOS date %w", err))
	}
	extension := uint8(biosTargetedContent | biosVirtualMachine)
	if f.UEFI {
		extension |= biosUEFI
	}
	s := &stringSet{}
	b.add(typeBIOS, handleBIOS, biosInformation{
		Vendor:          s.add("BIOS vendor", f.Vendor),
		Version:         s.add("BIOS version", f.Version),
		Segment:         biosSegment,
		Date:            s.add("BIOS date", f.Date),
		Characteristics: biosNotSupported,
		Extension:       [2]uint8{0, extension},
		Major:           major,
		Minor:           minor,
		Controller:      [2]uint8{releaseNone, releaseNone},
	}, s)
}

func (b *builder) system(cfg Config) {
	v, s := cfg.System, &stringSet{}
	b.add(typeSystem, handleSystem, systemInformation{
		Manufacturer: s.add("system manufacturer", v.Manufacturer),
		Product:      s.add("system product", v.Product),
		Version:      s.add("system version", v.Version),
		Serial:       s.add("system serial", v.Serial),
		UUID:         swapUUID(v.UUID),
		WakeUp:       wakeUpPowerSwitch,
		SKU:          s.add("system SKU", v.SKU),
		Family:       s.add("system family", v.Family),
	}, s)
}

func (b *builder) baseBoard(cfg Config) {
	v, s := cfg.BaseBoard, &stringSet{}
	b.add(typeBaseBoard, handleBaseBoard, baseBoardInformation{
		Manufacturer: s.add("base board manufacturer", v.Manufacturer),
		Product:      s.add("base board product", v.Product),
		Version:      s.add("base board version", v.Version),
		Serial:       s.add("base board serial", v.Serial),
		Asset:        s.add("base board asset", v.Asset),
		Features:     boardHosting,
		Location:     s.add("base board location", v.Location),
		Chassis:      handleChassis,
		Type:         boardMother,
	}, s)
}

func (b *builder) chassis(cfg Config) {
	v, s := cfg.Chassis, &stringSet{}
	b.add(typeChassis, handleChassis, chassisInformation{
		Manufacturer: s.add("chassis manufacturer", v.Manufacturer),
		Type:         chassisOther,
		Version:      s.add("chassis version", v.Version),
		Serial:       s.add("chassis serial", v.Serial),
		Asset:        s.add("chassis asset", v.Asset),
		BootUp:       chassisSafe,
		PowerSupply:  chassisSafe,
		Thermal:      chassisSafe,
		Security:     chassisSecurityAny,
		SKU:          s.add("chassis SKU", v.SKU),
	}, s)
}

// oemStrings writes type 11 (section 7.12), whose body is the number of strings.
// An empty one cannot be stored, and leaving it out would renumber the others.
func (b *builder) oemStrings(list []string) {
	s := &stringSet{}
	if len(list) > maxStrings {
		b.fail(fmt.Errorf("%d OEM strings, but a structure can number only %d", len(list), maxStrings))
		return
	}
	for i, text := range list {
		field := fmt.Sprintf("OEM string %d", i+1)
		if s.add(field, text) == 0 && s.err == nil {
			s.err = errors.New(field + " is empty, which cannot be stored")
		}
	}
	b.add(typeOEMStrings, handleOEMStrings, uint8(len(s.list)), s)
}

func (b *builder) boot() { b.add(typeBoot, handleBoot, bootInformation{}, &stringSet{}) }

// end closes the table (section 7.45) with a structure that has no body.
func (b *builder) end() { b.add(typeEnd, handleEnd, struct{}{}, &stringSet{}) }

// swapUUID turns the first three fields of a UUID little-endian, or back.
func swapUUID(u [16]byte) [16]byte {
	return [16]byte{
		u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6],
		u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15],
	}
}

// parseRelease reads "major.minor". The empty string is 0.0.
func parseRelease(text string) (major, minor uint8, err error) {
	if text == "" {
		return 0, 0, nil
	}
	first, second, found := strings.Cut(text, ".")
	if found {
		a, errA := strconv.ParseUint(first, 10, 8)
		b, errB := strconv.ParseUint(second, 10, 8)
		if errA == nil && errB == nil {
			return uint8(a), uint8(b), nil
		}
	}
	return 0, 0, fmt.Errorf("%q is not of the form major.minor with numbers of 0 to 255", clip(text))
}

// checkDate accepts mm/dd/yy and mm/dd/yyyy, also without leading zeros in month
// and day, and nothing.
func checkDate(text string) error {
	if text == "" {
		return nil
	}
	for _, layout := range []string{"1/2/06", "1/2/2006"} {
		if _, err := time.Parse(layout, text); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%q is not a date of the form mm/dd/yy or mm/dd/yyyy", clip(text))
}
