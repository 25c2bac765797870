package acpi

// gas is a Generic Address Structure (section 5.2.3.2). Revision 3 of the FADT
// knows no access size but in the reset register, where all guests expect it.
type gas struct {
	SpaceID    uint8
	BitWidth   uint8
	BitOffset  uint8
	AccessSize uint8
	Address    uint64
}

const (
	spaceSystemMemory = 0
	spaceSystemIO     = 1
	accessByte        = 1
)

// fadtBody is the Fixed ACPI Description Table (section 5.2.9) after its header,
// as of revision 3 (244 bytes in all).
type fadtBody struct {
	FirmwareCtrl     uint32
	DSDT             uint32
	_                uint8
	PreferredProfile uint8
	SCIInterrupt     uint16
	SMICommand       uint32
	ACPIEnable       uint8
	ACPIDisable      uint8
	S4BIOSRequest    uint8
	PStateControl    uint8
	PM1aEventBlock   uint32
	PM1bEventBlock   uint32
	PM1aControlBlock uint32
	PM1bControlBlock uint32
	PM2ControlBlock  uint32
	PMTimerBlock     uint32
	GPE0Block        uint32
	GPE1Block        uint32
	PM1EventLength   uint8
	PM1ControlLength uint8
	PM2ControlLength uint8
	PMTimerLength    uint8
	GPE0Length       uint8
	GPE1Length       uint8
	GPE1Base         uint8
	CSTControl       uint8
	C2Latency        uint16
	C3Latency        uint16
	FlushSize        uint16
	FlushStride      uint16
	DutyOffset       uint8
	DutyWidth        uint8
	DayAlarm         uint8
	MonthAlarm       uint8
	Century          uint8
	BootArch         uint16
	_                uint8
	Flags            uint32
	ResetRegister    gas
	ResetValue       uint8
	ARMBootArch      uint16
	MinorVersion     uint8
	XFirmwareCtrl    uint64 // zero: FirmwareCtrl holds the address
	XDSDT            uint64
	XPM1aEvent       gas
	XPM1bEvent       gas
	XPM1aControl     gas
	XPM1bControl     gas
	XPM2Control      gas
	XPMTimer         gas
	XGPE0            gas
	XGPE1            gas
}

const (
	fadtRevision = 3

	// Offsets of the pointers, from the start of the table.
	fadtFirmwareCtrl = 36
	fadtDSDT         = 40
	fadtXDSDT        = 140
)

// Registers of the PIIX4's power management block, as offsets from PMBASE
// (PIIX4 datasheet, section 7.2):
//
//	00 PMSTS  02 PMEN  04 PMCNTRL  08 PMTMR  0C GPSTS  0E GPEN
const (
	pm1EventOffset   = 0x00
	pm1ControlOffset = 0x04
	pmTimerOffset    = 0x08
	gpe0Offset       = 0x0C

	pm1EventLength   = 4
	pm1ControlLength = 2
	pmTimerLength    = 4
	gpe0Length       = 4
)

// IAPC_BOOT_ARCH flags (table 5.11).
const (
	bootLegacyDevices = 1 << 0
	boot8042          = 1 << 1
	bootNoRTC         = 1 << 5
)

// Fixed feature flags (table 5.10). Clear, and meaningful so: bit 4 (the power
// button is a fixed feature), bit 6 (the RTC's status is in PM1a_STS, if there is
// an RTC) and bit 8 (the PM timer has 24 bits).
const (
	flagWBINVD           = 1 << 0
	flagProcC1           = 1 << 2
	flagNoSleepButton    = 1 << 5
	flagNoRTCStatus      = 1 << 6
	flagResetRegister    = 1 << 10
	flagPlatformClock    = 1 << 15
	flagAPICClusterModel = 1 << 18
)

// Latencies, in microseconds, above which C2 and C3 count as absent.
const noC2, noC3 = 0xFFF, 0xFFF

// flatModelCPUs is how many CPUs the flat logical destination mode can address.
const flatModelCPUs = 8

// rtcCentury is the CMOS byte of the century.
const rtcCentury = 0x32

// fadt adds the FADT and returns its offset.
func (b *builder) fadt(cfg Config, facs, dsdt int) int {
	ioBlock := func(port uint16, length int) gas {
		return gas{SpaceID: spaceSystemIO, BitWidth: uint8(8 * length), Address: uint64(port)}
	}
	event := ioBlock(cfg.PMBase+pm1EventOffset, pm1EventLength)
	control := ioBlock(cfg.PMBase+pm1ControlOffset, pm1ControlLength)
	timer := ioBlock(cfg.PMBase+pmTimerOffset, pmTimerLength)
	gpe0 := ioBlock(cfg.GPE0Base, gpe0Length)

	body := fadtBody{
		FirmwareCtrl:     uint32(facs),
		DSDT:             uint32(dsdt),
		SCIInterrupt:     uint16(cfg.SCI),
		PM1aEventBlock:   uint32(event.Address),
		PM1aControlBlock: uint32(control.Address),
		PMTimerBlock:     uint32(timer.Address),
		GPE0Block:        uint32(gpe0.Address),
		PM1EventLength:   pm1EventLength,
		PM1ControlLength: pm1ControlLength,
		PMTimerLength:    pmTimerLength,
		GPE0Length:       gpe0Length,
		C2Latency:        noC2,
		C3Latency:        noC3,
		Century:          rtcCentury,
		BootArch:         bootLegacyDevices,
		Flags:            flagWBINVD | flagProcC1 | flagNoSleepButton | flagResetRegister | flagPlatformClock,
		ResetRegister:    gas{SpaceID: spaceSystemIO, BitWidth: 8, AccessSize: accessByte, Address: ResetPort},
		ResetValue:       ResetValue,
		XDSDT:            uint64(dsdt),
		XPM1aEvent:       event,
		XPM1aControl:     control,
		XPMTimer:         timer,
		XGPE0:            gpe0,
	}
	if cfg.SMICommandPort != 0 {
		body.SMICommand = uint32(cfg.SMICommandPort)
		body.ACPIEnable = ACPIEnable
		body.ACPIDisable = ACPIDisable
	}
	if cfg.Keyboard || cfg.Mouse {
		body.BootArch |= boot8042
	}
	if cfg.NoRTC {
		body.Century = 0
		body.BootArch |= bootNoRTC
		body.Flags |= flagNoRTCStatus
	}
	if len(cfg.CPUs) > flatModelCPUs {
		body.Flags |= flagAPICClusterModel
	}

	offset := b.table("FACP", fadtRevision, encode(body))
	b.pointer(Data, offset+fadtFirmwareCtrl, 4)
	b.pointer(Data, offset+fadtDSDT, 4)
	b.pointer(Data, offset+fadtXDSDT, 8)
	return offset
}

// facs adds the Firmware ACPI Control Structure (section 5.2.10): 64 bytes
// without a checksum, with the waking vector and global lock all zero.
func (b *builder) facs() int {
	const size, version = 64, 1
	f := make([]byte, size)
	copy(f, "FACS")
	le.PutUint32(f[4:], size)
	f[32] = version
	return b.add("FACS", f)
}
