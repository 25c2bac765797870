package floppy

// Ports of the controller. Port 0x3F6, between them, is the hard disk's.
const (
	Port     = 0x3F0
	Ports    = 6
	DIRPort  = 0x3F7 // see FDC.DIR
	DIRPorts = 1
)

// Register offsets from Port.
const (
	regSRA  = 0
	regSRB  = 1
	regDOR  = 2
	regTDR  = 3
	regMSR  = 4 // read
	regDSR  = 4 // write
	regFIFO = 5
)

// SRA, status register A (PS/2 mode); /X is active low:
//
//	   7      6      5     4      3      2     1     0
//	+------+------+------+------+-----+------+-----+-----+
//	| INT  |/DRV2 | STEP |/TRK0 |HDSEL|/INDX | /WP | DIR |
//	+------+------+------+------+-----+------+-----+-----+
const (
	sraInterrupt = 1 << 7
	sraNoDrive2  = 1 << 6
	sraNotTrack0 = 1 << 4
	sraHead      = 1 << 3
	sraNoIndex   = 1 << 2
	sraWritable  = 1 << 1
)

// SRB, status register B (PS/2 mode):
//
//	  7   6    5      4       3      2     1      0
//	+-------+------+------+-------+-----+------+------+
//	| 1   1 | DS0  |WDATA | RDATA | WE  | MOT1 | MOT0 |
//	+-------+------+------+-------+-----+------+------+
const (
	srbOnes     = 0xC0
	srbDrive0   = 1 << 5
	srbMotors   = 3
	motorShift  = 4 // of DOR's motor bits
	driveSelect = 3 // of DOR, and of a command's second byte
)

// DOR, digital output register:
//
//	  7    6    5    4      3       2       1   0
//	+----+----+----+----+-------+--------+-------+
//	|MOT3|MOT2|MOT1|MOT0|DMAGATE| /RESET | drive |
//	+----+----+----+----+-------+--------+-------+
const (
	dorDMAGate  = 1 << 3 // lets INT and DRQ out
	dorNotReset = 1 << 2
)

// tdrBits is the tape drive select of the TDR.
const tdrBits = 3

// MSR, main status register:
//
//	  7    6    5     4    3              0
//	+----+----+-----+----+-----------------+
//	|RQM |DIO | NON | CB |  drives seeking |
//	|    |    | DMA |    |                 |
//	+----+----+-----+----+-----------------+
const (
	msrRequest = 1 << 7
	msrToHost  = 1 << 6
	msrNonDMA  = 1 << 5
	msrBusy    = 1 << 4
)

// DSR, data rate select register:
//
//	   7      6    5  4          2  1    0
//	+------+-----+---+------------+-------+
//	|reset |power| 0 |   precomp  | rate  |
//	+------+-----+---+------------+-------+
const (
	dsrReset = 1 << 7
	dsrKept  = 0x1F
	rateBits = 3 // of the DSR and the CCR
)

// dirChanged is the only bit of the DIR that the controller drives in a PC.
const dirChanged = 1 << 7

// ST0, the first byte of most results:
//
//	 7   6    5    4   3    2    1   0
//	+-------+----+----+---+----+-------+
//	|  IC   | SE | EC | 0 | H  | drive |
//	+-------+----+----+---+----+-------+
const (
	st0Abnormal = 1 << 6 // IC
	st0Invalid  = 2 << 6
	st0Polling  = 3 << 6
	st0SeekEnd  = 1 << 5
	st0Check    = 1 << 4 // equipment check: no track 0
	headShift   = 2
)

// ST1:
//
//	  7   6    5    4   3    2    1    0
//	+----+---+----+----+---+----+----+----+
//	| EN | 0 | DE | OR | 0 | ND | NW | MA |
//	+----+---+----+----+---+----+----+----+
const (
	st1End        = 1 << 7 // of cylinder
	st1DataError  = 1 << 5
	st1NoData     = 1 << 2 // no such sector
	st1Protected  = 1 << 1
	st1NoAddrMark = 1 << 0
)

// ST2:
//
//	 7   6    5    4    3    2    1    0
//	+---+----+----+----+----+----+----+----+
//	| 0 | CM | DD | WC | SH | SN | BC | MD |
//	+---+----+----+----+----+----+----+----+
const (
	st2ControlMark   = 1 << 6
	st2DataError     = 1 << 5
	st2WrongCylinder = 1 << 4
	st2ScanHit       = 1 << 3
	st2ScanMiss      = 1 << 2
)

// ST3:
//
//	 7   6    5    4    3    2    1   0
//	+---+----+----+----+----+----+-------+
//	| 0 | WP | 1  | T0 | 1  | H  | drive |
//	+---+----+----+----+----+----+-------+
const (
	st3Protected = 1 << 6
	st3Ones      = 1<<5 | 1<<3
	st3Track0    = 1 << 4
)

// Second byte of CONFIGURE:
//
//	 7   6     5      4    3          0
//	+---+-----+-------+----+-----------+
//	| 0 | EIS | EFIFO |POLL|  FIFOTHR  |
//	+---+-----+-------+----+-----------+
const (
	configImpliedSeek = 1 << 6
	configNoFIFO      = 1 << 5
	configNoPoll      = 1 << 4
	configBits        = 0x7F
	configLocked      = configNoFIFO | 0x0F // what LOCK keeps through a reset
	fifoSize          = 16
)

// specifyNonDMA is bit 0 of SPECIFY's last byte.
const specifyNonDMA = 1 << 0

// PERPENDICULAR MODE's second byte: OW 0 D3 D2 D1 D0 GAP WGATE.
const (
	perpOverwrite = 1 << 7
	perpDrives    = 0x3C
	perpGate      = 0x03
)
