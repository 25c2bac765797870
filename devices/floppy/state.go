package floppy

// Phase is where a command is.
type Phase uint8

// The phases of a command.
const (
	PhaseCommand Phase = iota
	PhaseExecution
	PhaseResult
)

// State is all that a guest can see of an FDC, and what is on its way through
// it, save for the data of the sectors being transferred.
type State struct {
	DOR, TDR, DSR uint8
	Rate          uint8 // data rate, last written to the DSR or the CCR

	Phase  Phase
	FIFO   [fifoSize]uint8 // the command or the result
	Length uint8           // of the result
	Pos    uint8           // bytes of it that were written or read

	Specify       [2]uint8 // SRT and HUT, HLT and ND
	Config        uint8
	Pretrack      uint8 // precompensation start track
	Perpendicular uint8 // D3:0, GAP, WGATE
	Locked        bool
	EndOfTrack    uint8 // SC or EOT of the last command, for DUMPREG

	// What SENSE INTERRUPT STATUS has to tell: bit n of Pending is drive n,
	// and Sense its ST0.
	Pending uint8
	Sense   [4]uint8

	Cylinder [4]uint8 // PCN, where the controller thinks the heads are
	Drives   [2]DriveState
	Transfer TransferState

	Interrupt bool // INT pin, before the DMA gate
	Asserted  bool // level of the interrupt line
}

// DriveState is a drive.
type DriveState struct {
	Track   uint8 // where the head is
	Changed bool  // DSKCHG: no disk, or no step since it was put in
	LastID  uint8 // sector that READ ID came across last
}

// TransferState is a data command in execution.
type TransferState struct {
	Kind        Kind
	Command     uint8 // its first byte
	Drive, Head uint8
	C, H, R, N  uint8 // sector in question
	EOT         uint8 // last sector of a track
	Parameter   uint8 // DTL, STP, SC or the filler

	ST0, ST1, ST2 uint8

	Waiting  bool   // for the disk
	Pos, End int    // bytes of the data that were moved, and that are to be
	TC       bool   // the terminal count was reached
	OneByOne bool   // a run of sectors failed: find which
	Left     uint16 // sectors that VERIFY has to do still
	Format   uint64 // bit n: sector n+1 is still to be formatted
}

// Kind is a data command.
type Kind uint8

// The data commands.
const (
	KindNone Kind = iota
	KindRead
	KindReadDeleted
	KindReadTrack
	KindVerify
	KindScanEqual
	KindScanLow
	KindScanHigh
	KindWrite
	KindFormat
	KindReadID
)

func (k Kind) scans() bool { return k >= KindScanEqual && k <= KindScanHigh }

// writes reports whether the command needs a disk that is not write protected.
func (k Kind) writes() bool { return k == KindWrite || k == KindFormat }

// toHost reports the direction in which the guest sees the data go.
func (k Kind) toHost() bool { return k <= KindVerify }

// Bits of a data command's first byte.
const (
	commandMT   = 1 << 7 // multi-track
	commandMFM  = 1 << 6
	commandSkip = 1 << 5
)

// verifyCount is bit 7 of VERIFY's second byte, EC: Parameter is how many
// sectors to verify.
const verifyCount = 1 << 7
