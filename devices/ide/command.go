package ide

// Commands (ATA/ATAPI-6 and ATA8-ACS, section 7).
const (
	cmdNOP               = 0x00
	cmdDataSetManagement = 0x06
	cmdDeviceReset       = 0x08
	cmdRecalibrate       = 0x10 // to 0x1F
	cmdReadSectors       = 0x20
	cmdReadSectorsOnce   = 0x21 // without retries, as the others of that name
	cmdReadSectorsExt    = 0x24
	cmdReadDMAExt        = 0x25
	cmdReadNativeMaxExt  = 0x27
	cmdReadMultipleExt   = 0x29
	cmdWriteSectors      = 0x30
	cmdWriteSectorsOnce  = 0x31
	cmdWriteSectorsExt   = 0x34
	cmdWriteDMAExt       = 0x35
	cmdWriteMultipleExt  = 0x39
	cmdReadVerify        = 0x40
	cmdReadVerifyOnce    = 0x41
	cmdReadVerifyExt     = 0x42
	cmdSeek              = 0x70 // to 0x7F
	cmdExecuteDiagnostic = 0x90
	cmdInitializeParams  = 0x91
	cmdPacket            = 0xA0
	cmdIdentifyPacket    = 0xA1
	cmdSMART             = 0xB0
	cmdReadMultiple      = 0xC4
	cmdWriteMultiple     = 0xC5
	cmdSetMultiple       = 0xC6
	cmdReadDMA           = 0xC8
	cmdReadDMAOnce       = 0xC9
	cmdWriteDMA          = 0xCA
	cmdWriteDMAOnce      = 0xCB
	cmdStandbyImmediate  = 0xE0
	cmdIdleImmediate     = 0xE1
	cmdStandby           = 0xE2
	cmdIdle              = 0xE3
	cmdCheckPowerMode    = 0xE5
	cmdSleep             = 0xE6
	cmdFlushCache        = 0xE7
	cmdFlushCacheExt     = 0xEA
	cmdIdentify          = 0xEC
	cmdSetFeatures       = 0xEF
	cmdReadNativeMax     = 0xF8

	// The power management commands of ATA-1.
	cmdStandbyImmediateOld = 0x94
	cmdIdleImmediateOld    = 0x95
	cmdStandbyOld          = 0x96
	cmdIdleOld             = 0x97
	cmdCheckPowerModeOld   = 0x98
	cmdSleepOld            = 0x99
)

// protocol is how a command moves sectors.
type protocol uint8

const (
	protocolNone protocol = iota
	protocolRead
	protocolWrite
	protocolReadDMA
	protocolWriteDMA
	protocolVerify
)

// writes reports whether the disk is changed.
func (p protocol) writes() bool { return p == protocolWrite || p == protocolWriteDMA }

// transfer says how a command moves sectors, if it does: with 48-bit addresses
// (ext), and with several sectors between two interrupts.
func transfer(command uint8) (p protocol, ext, multiple bool) {
	switch command {
	case cmdReadSectors, cmdReadSectorsOnce:
		return protocolRead, false, false
	case cmdReadSectorsExt:
		return protocolRead, true, false
	case cmdReadMultiple:
		return protocolRead, false, true
	case cmdReadMultipleExt:
		return protocolRead, true, true
	case cmdWriteSectors, cmdWriteSectorsOnce:
		return protocolWrite, false, false
	case cmdWriteSectorsExt:
		return protocolWrite, true, false
	case cmdWriteMultiple:
		return protocolWrite, false, true
	case cmdWriteMultipleExt:
		return protocolWrite, true, true
	case cmdReadDMA, cmdReadDMAOnce:
		return protocolReadDMA, false, false
	case cmdReadDMAExt:
		return protocolReadDMA, true, false
	case cmdWriteDMA, cmdWriteDMAOnce:
		return protocolWriteDMA, false, false
	case cmdWriteDMAExt:
		return protocolWriteDMA, true, false
	case cmdReadVerify, cmdReadVerifyOnce:
		return protocolVerify, false, false
	case cmdReadVerifyExt:
		return protocolVerify, true, false
	}
	return protocolNone, false, false
}
