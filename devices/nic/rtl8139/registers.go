package rtl8139

// Offsets of registers (Register Descriptions).
const (
	regIDR      = 0x00 // 6 bytes: the address
	regMAR      = 0x08 // 8 bytes: the multicast filter
	regTSD      = 0x10 // 4 registers: status of transmit descriptors; C+: DTCCR
	regTSAD     = 0x20 // 4 registers: their addresses; C+: TNPDS and THPDS
	regRBSTART  = 0x30
	regCR       = 0x37
	regCAPR     = 0x38
	regCBR      = 0x3A
	regIMR      = 0x3C
	regISR      = 0x3E
	regTCR      = 0x40
	regRCR      = 0x44
	regTCTR     = 0x48
	regMPC      = 0x4C
	reg9346CR   = 0x50
	regCONFIG0  = 0x51
	regCONFIG1  = 0x52
	regTimerInt = 0x54
	regMSR      = 0x58
	regCONFIG3  = 0x59
	regCONFIG4  = 0x5A
	regMULINT   = 0x5C
	regRERID    = 0x5E
	regTSADS    = 0x60 // status of all transmit descriptors
	regBMCR     = 0x62
	regBMSR     = 0x64
	regANAR     = 0x66
	regANLPAR   = 0x68
	regANER     = 0x6A
	regCSCR     = 0x74
	regCONFIG5  = 0xD8
	regTPPoll   = 0xD9
	regCPCR     = 0xE0
	regIntrMit  = 0xE2
	regRDSAR    = 0xE4
	regETThR    = 0xEC
	regSpace    = 0x100
)

// Bits of CR.
const (
	crBUFE = 1 << 0 // the receive buffer is empty
	crTE   = 1 << 2
	crRE   = 1 << 3
	crRST  = 1 << 4
)

// Bits of IMR and ISR.
const (
	intROK  = 1 << 0
	intRER  = 1 << 1
	intTOK  = 1 << 2
	intRDU  = 1 << 4 // no room: RXOVW in C mode
	intLink = 1 << 5 // the link has changed, or an underrun
	intTDU  = 1 << 7 // C+: no transmit descriptor is left
	intSW   = 1 << 8
	intTime = 1 << 14 // TCTR has reached TimerInt
	intSERR = 1 << 15 // memory could not be reached

	intMask = 0xE1FF
)

// Bits of TSD:
//
//	0 size(13)  13 OWN  14 TUN  15 TOK  16 ERTXTH(6)  24 NCC(4)  28 CDH  29 OWC  30 TABT  31 CRS
const (
	tsdSize   = 0x1FFF
	tsdOWN    = 1 << 13 // the card is done with it
	tsdTUN    = 1 << 14
	tsdTOK    = 1 << 15
	tsdTABT   = 1 << 30
	tsdWrites = 0x3F3FFF
)

// Bits of TCR. The version tells an RTL8139C+.
const (
	tcrCRC     = 1 << 16 // the driver has put the FCS behind the frame
	tcrLBK     = 3 << 17 // both: loopback
	tcrVersion = 0x74800000
	tcrWrites  = 0x030F07F0
)

// Bits of RCR.
const (
	rcrAAP    = 1 << 0     // all unicast
	rcrAPM    = 1 << 1     // our address
	rcrAM     = 1 << 2     // multicast in the filter
	rcrAB     = 1 << 3     // broadcast
	rcrWRAP   = 1 << 7     // packets go on behind the end of the buffer
	rcrRBLEN  = 11         // size of the buffer, 2 bits
	rcrWrites = 0x0F03FFBF // bit 6 says that the EEPROM is no 93C56
)

// Bits of 9346CR:
//
//	0 EEDO  1 EEDI  2 EESK  3 EECS  6 mode(2)
const (
	eeDO = 1 << 0
	eeDI = 1 << 1
	eeSK = 1 << 2
	eeCS = 1 << 3

	eeMode     = 0xC0
	eeAutoLoad = 0x40
	eeProgram  = 0x80 // the pins
	eeConfig   = 0xC0 // the CONFIG registers can be written
)

// Bits of MSR.
const (
	msrLINKB  = 1 << 2 // there is no link
	msrAux    = 1 << 4 // auxiliary power
	msrWrites = 0xC0
)

// Bits of CPCR.
const (
	cpTx      = 1 << 0
	cpRx      = 1 << 1
	cpRxSum   = 1 << 5
	cpRxVLAN  = 1 << 6
	cpcrWrite = 0x006B | 1<<4
)

// Bits of TPPoll.
const (
	pollSW     = 1 << 0
	pollNormal = 1 << 6
	pollHigh   = 1 << 7
)

const dtccrCmd = 1 << 3

// register is a register: its first byte, its size in bytes, and those of its
// bits that are plain storage for the driver.
type register struct {
	at, size uint8
	mask     uint32
}

// bank is registers of one size in a row.
type bank struct {
	from, to, size uint8
	mask           uint32
}

// layout is what the registers are. What is not in it reads as zero.
var layout = [...]bank{
	{regIDR, regMAR - 3, 1, 0xFF},
	{regMAR, regTSD - 1, 1, 0xFF},
	{regTSD, regTSAD - 1, 4, 0}, // by writeTSD
	{regTSAD, regRBSTART + 3, 4, ^uint32(0)},
	{regCR, regCR, 1, 0}, // by writeCR
	{regCAPR, regCAPR + 1, 2, 0xFFFF},
	{regCBR, regCBR + 1, 2, 0},
	{regIMR, regIMR + 1, 2, intMask},
	{regISR, regISR + 1, 2, 0}, // ones clear
	{regTCR, regTCR + 3, 4, tcrWrites},
	{regRCR, regRCR + 3, 4, rcrWrites},
	{regTCTR, regMPC + 3, 4, 0}, // any write clears
	{reg9346CR, reg9346CR, 1, 0},
	{regCONFIG0, regCONFIG0, 1, 0},
	{regCONFIG1, regCONFIG1, 1, 0xF1},
	{regTimerInt, regTimerInt + 3, 4, ^uint32(0)},
	{regMSR, regMSR, 1, msrWrites},
	{regCONFIG3, regCONFIG3, 1, 0x70},
	{regCONFIG4, regCONFIG4, 1, 0xF5},
	{regMULINT, regMULINT + 1, 2, 0x0FFF},
	{regRERID, regRERID, 1, 0},
	{regTSADS, regTSADS + 1, 2, 0},
	{regBMCR, regBMCR + 1, 2, 0}, // by writeBMCR
	{regBMSR, regBMSR + 1, 2, 0},
	{regANAR, regANAR + 1, 2, 0x2DFF},
	{regANLPAR, regANER + 1, 2, 0},
	{regCSCR, regCSCR + 1, 2, 0x03E5},
	{regCONFIG5, regCONFIG5, 1, 0x7F},
	{regTPPoll, regTPPoll, 1, 0}, // commands
	{regCPCR, regCPCR + 1, 2, cpcrWrite},
	{regIntrMit, regIntrMit + 1, 2, 0xFFFF},
	{regRDSAR, regRDSAR + 7, 4, ^uint32(0)},
	{regETThR, regETThR, 1, 0x3F},
}

// registerAt finds the register that a byte belongs to.
func registerAt(at uint8) (r register, ok bool) {
	for _, b := range &layout {
		if at >= b.from && at <= b.to {
			return register{at: at - (at-b.from)%b.size, size: b.size, mask: b.mask}, true
		}
	}
	return r, false
}
