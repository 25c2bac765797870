package e1000

// Offsets of registers (chapter 13).
const (
	regCTRL    = 0x0000
	regSTATUS  = 0x0008
	regEECD    = 0x0010
	regEERD    = 0x0014
	regCTRLEXT = 0x0018
	regMDIC    = 0x0020
	regVET     = 0x0038
	regICR     = 0x00C0
	regITR     = 0x00C4
	regICS     = 0x00C8
	regIMS     = 0x00D0
	regIMC     = 0x00D8
	regRCTL    = 0x0100
	regTCTL    = 0x0400
	regPBA     = 0x1000
	regRDBAL   = 0x2800
	regRDBAH   = 0x2804
	regRDLEN   = 0x2808
	regRDH     = 0x2810
	regRDT     = 0x2818
	regTDBAL   = 0x3800
	regTDBAH   = 0x3804
	regTDLEN   = 0x3808
	regTDH     = 0x3810
	regTDT     = 0x3818
	regStats   = 0x4000 // to statsEnd
	regRXCSUM  = 0x5000
	regMTA     = 0x5200 // 128 registers
	regRA      = 0x5400 // 16 pairs RAL, RAH
	regVFTA    = 0x5600 // 128 registers
	regMANC    = 0x5820
	regSpace   = 0x6000 // behind the last one

	statsEnd = 0x4100
	mtaSize  = 128
	raPairs  = 16
	vftaSize = 128
)

// Statistics, which are cleared when read (section 13.7).
const (
	statGPRC  = 0x4074 // good packets received
	statBPRC  = 0x4078 // of them broadcasts
	statMPRC  = 0x407C // and multicasts
	statGPTC  = 0x4080 // good packets transmitted
	statGORCL = 0x4088 // their bytes
	statGOTCL = 0x4090
	statTORL  = 0x40C0 // all bytes
	statTOTL  = 0x40C8
	statTPR   = 0x40D0 // all packets
	statTPT   = 0x40D4
	statMPTC  = 0x40F0 // multicasts transmitted
	statBPTC  = 0x40F4
)

// Bits of CTRL (section 13.4.1).
const (
	ctrlSLU    = 1 << 6  // set link up
	ctrlRST    = 1 << 26 // device reset
	ctrlVME    = 1 << 30 // VLAN mode
	ctrlPHYRST = 1 << 31
)

// Bits of STATUS (section 13.4.2).
const (
	statusFD   = 1 << 0
	statusLU   = 1 << 1
	statusGbit = 1 << 7
)

// Bits of the interrupt registers (section 13.4.17).
const (
	intTXDW   = 1 << 0 // a descriptor was written back
	intTXQE   = 1 << 1 // the transmit ring is empty
	intLSC    = 1 << 2 // the link has changed
	intRXDMT0 = 1 << 4 // few receive descriptors are left
	intRXT0   = 1 << 7 // something was received
	intMDAC   = 1 << 9 // MDIC is done
)

// Bits of RCTL (section 13.4.22).
const (
	rctlEN    = 1 << 1
	rctlUPE   = 1 << 3 // all unicast
	rctlMPE   = 1 << 4 // all multicast
	rctlLPE   = 1 << 5 // frames over 1522 bytes
	rctlRDMTS = 8      // threshold of RXDMT0
	rctlMO    = 12     // which bits MTA is about
	rctlBAM   = 1 << 15
	rctlBSIZE = 16
	rctlVFE   = 1 << 18 // VLAN filter
	rctlBSEX  = 1 << 25 // sixteen times as much
	rctlSECRC = 1 << 26 // strip the FCS
)

const tctlEN = 1 << 1

// Bits of RXCSUM (section 13.5.15).
const (
	rxcsumIPOFLD = 1 << 8
	rxcsumTUOFLD = 1 << 9
)

const rahAV = 1 << 31 // the address is valid

// plain are the registers that are storage, and those bits of each that the
// driver can change.
var plain = [...]struct {
	from, to uint32 // the last one
	mask     uint32
}{
	{regCTRLEXT, regCTRLEXT, ^uint32(0)},
	{0x0028, 0x0030, ^uint32(0)}, // FCAL, FCAH, FCT
	{regVET, regVET, 0xFFFF},
	{regITR, regITR, 0xFFFF},
	{0x0170, 0x0178, ^uint32(0)}, // FCTTV, TXCW
	{regTCTL, regTCTL, ^uint32(0)},
	{0x0410, 0x0410, ^uint32(0)}, // TIPG
	{0x0458, 0x0458, 0xFFFF},     // AIFS
	{0x0E00, 0x0E00, ^uint32(0)}, // LEDCTL
	{regPBA, regPBA, 0xFFFF},
	{0x2160, 0x2168, ^uint32(0)}, // FCRTL, FCRTH
	{regRDBAL, regRDBAL, ^uint32(0xF)},
	{regRDBAH, regRDBAH, ^uint32(0)},
	{regRDLEN, regRDLEN, 0xFFF80},
	{regRDH, regRDH, 0xFFFF},
	{0x2820, 0x282C, ^uint32(0)}, // RDTR, RXDCTL, RADV
	{regTDBAL, regTDBAL, ^uint32(0xF)},
	{regTDBAH, regTDBAH, ^uint32(0)},
	{regTDLEN, regTDLEN, 0xFFF80},
	{regTDH, regTDH, 0xFFFF},
	{0x3820, 0x3830, ^uint32(0)}, // TIDV, TXDCTL, TADV, TSPMT
	{regRXCSUM, regRXCSUM, 0x7FF},
	{regMTA, regMTA + 4*mtaSize - 4, ^uint32(0)},
	{regRA, regRA + 8*raPairs - 4, ^uint32(0)},
	{regVFTA, regVFTA + 4*vftaSize - 4, ^uint32(0)},
	{0x5800, 0x5808, ^uint32(0)}, // WUC, WUFC
	{regMANC, regMANC, ^uint32(0)},
}

// maskOf is the writable bits of a register that is storage.
func maskOf(reg uint32) uint32 {
	for _, p := range plain {
		if reg >= p.from && reg <= p.to {
			return p.mask
		}
	}
	return 0
}
