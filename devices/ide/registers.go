package ide

// Ports of the two channels in compatibility mode, and their interrupts.
const (
	PrimaryCommandPort   = 0x1F0
	PrimaryControlPort   = 0x3F6
	PrimaryIRQ           = 14
	SecondaryCommandPort = 0x170
	SecondaryControlPort = 0x376
	SecondaryIRQ         = 15

	CommandPorts = 8
	ControlPorts = 1
)

// Registers of the command block (ATA/ATAPI-6, section 7). Count, Low, Mid and
// High are FIFOs of two bytes for commands with 48-bit addresses.
//
//	   read              write
//	0  Data              Data
//	1  Error             Features
//	2  Sector Count      Sector Count     PACKET: interrupt reason
//	3  LBA Low           LBA Low
//	4  LBA Mid           LBA Mid          PACKET: byte count
//	5  LBA High          LBA High
//	6  Device            Device
//	7  Status            Command
const (
	regData   = 0
	regError  = 1
	regCount  = 2
	regLow    = 3
	regMid    = 4
	regHigh   = 5
	regDevice = 6
	regStatus = 7
)

// The Device register:
//
//	  7    6    5    4   3         0
//	+----+-----+----+-----+---------+
//	| 1  | LBA | 1  | DEV | head    |   or bits 24 to 27 of the address
//	+----+-----+----+-----+---------+
const (
	deviceUnit = 1 << 4
	deviceLBA  = 1 << 6
	deviceHead = 0x0F
	deviceOnes = 1<<7 | 1<<5 // obsolete, and always set
)

// The Status register:
//
//	  7     6      5    4     3     2   1    0
//	+-----+------+----+-----+-----+---+---+-----+
//	| BSY | DRDY | DF | DSC | DRQ | 0 | 0 | ERR |
//	+-----+------+----+-----+-----+---+---+-----+
const (
	statusERR   = 1 << 0
	statusDRQ   = 1 << 3
	statusDSC   = 1 << 4
	statusDRDY  = 1 << 6
	statusBSY   = 1 << 7
	statusReady = statusDRDY | statusDSC
)

// Bits of the Error register. After a PACKET command its upper half is the sense
// key.
const (
	errorABRT = 1 << 2
	errorIDNF = 1 << 4
	errorUNC  = 1 << 6

	// diagnosticPassed is left by a reset and by EXECUTE DEVICE DIAGNOSTIC.
	diagnosticPassed = 0x01
)

// The Device Control register:
//
//	  7    6        3    2      1     0
//	+-----+----------+------+------+---+
//	| HOB |     0    | SRST | nIEN | 0 |
//	+-----+----------+------+------+---+
const (
	controlNIEN = 1 << 1
	controlSRST = 1 << 2
	controlHOB  = 1 << 7
)

// The interrupt reason of PACKET commands, in the Sector Count register.
const (
	reasonCoD = 1 << 0 // a command, or with reasonIO the status, rather than data
	reasonIO  = 1 << 1 // to the host
)
