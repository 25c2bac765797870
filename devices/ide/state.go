package ide

// State is all that a guest can see of the function outside of its
// configuration space.
type State struct {
	Channels [Channels]ChannelState
}

// ChannelState is the state of one channel.
type ChannelState struct {
	Device    uint8 // the Device register, which the drives share
	Control   uint8 // the Device Control register
	Asserted  bool  // level of the interrupt line
	BusMaster BusMasterState
	Drives    [Units]DriveState
}

// BusMasterState is the state of a channel's bus master.
type BusMasterState struct {
	Command, Status uint8  // BMICOM, BMISTA
	Table           uint32 // BMIDTP

	// Where in the table of memory regions (PRD) the transfer is.
	NextEntry     uint32 // address of the entry after the current one
	Entries       uint32 // how many were read
	Address, Left uint32 // what is left of the current region, in bytes
	Last          bool   // the current region is the last one
}

// Phase is what a drive is doing.
type Phase uint8

// The phases.
const (
	Idle    Phase = iota // waits for a command
	Busy                 // carries it out
	DataIn               // waits for the host to read the Data register
	DataOut              // waits for the host to write the Data register
	DMA                  // waits for the bus master
)

// DriveState is the state of one drive; all zero where there is none.
type DriveState struct {
	// The command block. The upper halves of the 16-bit registers hold what was
	// written before.
	Features, Count, Low, Mid, High uint16
	Command, Status, Error          uint8
	Interrupt                       bool // INTRQ, whether the drive is selected or not

	Phase Phase
	// The data in the buffer that the host may read or is to write, in bytes.
	Position, End uint32

	// What the command has yet to do: Remaining sectors of 512 bytes from LBA on.
	// Buffered of these are in the buffer, or are with the host's disk.
	LBA       uint64
	Remaining uint32
	Buffered  uint32
	// BlockSectors is how many sectors are between two interrupts.
	BlockSectors uint32
	// Single says that data is read one such block at a time, after an error.
	Single bool

	Disk  DiskState
	CDROM CDROMState
}

// DiskState is what only disks have.
type DiskState struct {
	Translation     CHS
	Multiple        uint8 // SET MULTIPLE MODE, in sectors; 0 when disabled
	TransferMode    uint8 // as in SET FEATURES
	WriteCache      bool
	LookAhead       bool
	Power           PowerMode
	SMART           bool // enabled
	SMARTAutosave   bool
	SMARTSelfTest   uint8 // the test that was done last
	SMARTSelfTested bool  // there was one
}

// PowerMode is what CHECK POWER MODE gives.
type PowerMode uint8

// The power modes.
const (
	PowerStandby PowerMode = 0x00
	PowerIdle    PowerMode = 0x80
	PowerActive  PowerMode = 0xFF
)

// CDROMState is what only CD-ROM drives have.
type CDROMState struct {
	Packet       [packetSize]byte
	UseDMA       bool   // the command moves its data by DMA
	ByteLimit    uint32 // how much the driver takes at a time by PIO
	Data         uint32 // bytes in the buffer that are for the driver
	BlockBytes   uint32 // 2048, or 2352 for raw sectors
	TransferMode uint8
	Power        PowerMode

	Sense         Sense
	UnitAttention bool // the medium has changed
	Event         MediaEvent

	Inserted bool // there is a medium, in the tray or in the drive
	TrayOpen bool
	Locked   bool // PREVENT ALLOW MEDIUM REMOVAL
}

// State returns a copy of the state.
func (c *Controller) State() State {
	var s State
	for i, ch := range c.channels {
		ch.mu.Lock()
		s.Channels[i] = ch.s
		for u, d := range ch.drives {
			if d != nil {
				s.Channels[i].Drives[u] = d.s
			}
		}
		ch.mu.Unlock()
	}
	return s
}
