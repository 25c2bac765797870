package pci

import "sync"

// Registers of the 82441FX that have an effect or a lock.
const (
	regPAM0  = 0x59 // PAM0-PAM6: 0x59-0x5F
	regSMRAM = 0x72
)

// Bits of SMRAM.
const (
	smramOpen    = 1 << 6
	smramClose   = 1 << 5
	smramLock    = 1 << 4
	smramEnable  = 1 << 3
	smramSegment = 2 // C_BASE_SEG: 0xA0000, the only choice
)

// I440FXOptions says what the host bridge reports.
type I440FXOptions struct {
	// PAMChanged, if not nil, is told the seven programmable attribute map
	// registers at each Reset and when the guest changes them: which parts of
	// 0xC0000 to 0xFFFFF read and write RAM rather than ROM (see ShadowAreas).
	// It is called before the guest's write returns, with the bridge locked: it
	// must not call the bridge.
	PAMChanged func(pam [7]uint8)
}

// The subsystem id of the host bridge. The 82441FX has none: this one is how
// SeaBIOS knows a virtual machine, in which it reads the firmware configuration
// device.
const (
	virtualMachineVendor = 0x1AF4
	virtualMachineDevice = 0x1100
)

// I440FX is the host bridge, function 0 of slot 0. The sizes of DRAM rows and
// the timing are storage.
type I440FX struct {
	*Config
	changed func(pam [7]uint8)
	mu      sync.Mutex // orders the reports to changed
}

// NewI440FX returns the host bridge in its power-on state.
func NewI440FX(o I440FXOptions) *I440FX {
	c := mustConfig(Header{
		Name: "i440FX host bridge", Vendor: 0x8086, Device: 0x1237, Revision: 2, Class: 0x060000,
		SubsystemVendor: virtualMachineVendor, Subsystem: virtualMachineDevice,
	})
	c.Define16(RegCommand, CommandMemory|CommandBusMaster, commandParity|commandSERR)
	c.Define16(RegStatus, 0x0280, 0)
	c.Define16(0x50, 0, 0xFFFF) // PMCCFG
	c.Define8(0x52, 0, 0xFF)    // DETURBO
	c.Define8(0x53, 0x80, 0xFF) // DBC
	c.Define8(0x57, 0x01, 0xFF) // DRAMC
	c.Define8(0x58, 0x00, 0xFF) // DRAMT
	// Each nibble of PAM holds write enable and read enable of one segment;
	// the low nibble of PAM0 does not exist.
	c.Define8(regPAM0, 0, 0x30)
	for i := uint8(1); i < 7; i++ {
		c.Define8(regPAM0+i, 0, 0x33)
	}
	for i := range uint8(8) {
		c.Define8(0x60+i, 0x01, 0xFF) // DRB
	}
	c.Define8(0x68, 0, 0xC0)    // FDHC
	c.Define8(0x70, 0, 0xFF)    // MTT
	c.Define8(0x71, 0x10, 0xF8) // CLT
	c.Define8(regSMRAM, smramSegment, smramOpen|smramClose|smramLock|smramEnable)
	return &I440FX{Config: c, changed: o.PAMChanged}
}

// PAM returns the programmable attribute map registers, PAM0 first.
func (h *I440FX) PAM() (pam [7]uint8) {
	for i := range pam {
		pam[i] = h.Uint8(regPAM0 + uint8(i))
	}
	return pam
}

// WriteConfig takes the guest's write to registers.
//
// SMRAM, once locked, keeps its lock until the next reset, and cannot be opened.
func (h *I440FX) WriteConfig(reg uint8, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	locked := h.Uint8(regSMRAM)&smramLock != 0
	before, enable := h.PAM(), h.Uint8(regSMRAM)&smramEnable
	h.Config.WriteConfig(reg, data)
	if v := h.Uint8(regSMRAM); locked {
		v = v&^(smramOpen|smramEnable) | enable | smramLock
		h.SetUint8(regSMRAM, v)
	}
	if pam := h.PAM(); pam != before && h.changed != nil {
		h.changed(pam)
	}
}

// Reset returns the registers to their power-on state.
func (h *I440FX) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Config.Reset()
	if h.changed != nil {
		h.changed(h.PAM())
	}
}

// mustConfig is NewConfig for the bridges, whose headers are constants.
func mustConfig(h Header) *Config {
	c, err := NewConfig(h)
	if err != nil {
		panic(err)
	}
	return c
}
