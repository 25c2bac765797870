package ide

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/devices/irq"
)

// channel is one of the two cables with its registers.
//
// mu protects it and its drives. It is held while requests are handed to the
// host's disk, which does not wait, and while the line is set.
type channel struct {
	c       *Controller
	index   int
	line    irq.Line
	decoded atomic.Bool // the compatibility ports answer

	mu        sync.Mutex
	idle      sync.Cond    // a request is back from the host's disk
	s         ChannelState // Drives are in drives
	drives    [Units]*drive
	busMaster busMaster
	paused    bool
	// resetting is from the end of SRST until no drive waits for the host's disk.
	resetting bool
}

// attach puts a drive on the channel.
func (ch *channel) attach(unit int, o DriveOptions) error {
	d := &drive{
		ch: ch, unit: unit, name: fmt.Sprintf("%d:%d", ch.index, unit),
		buf: make([]byte, bufferSize),
	}
	d.request.Owner = d
	if err := o.attach(d); err != nil {
		return err
	}
	ch.drives[unit] = d
	return nil
}

// selected is the drive that the Device register selects; nil if it is not
// there.
func (ch *channel) selected() *drive { return ch.drives[ch.s.Device&deviceUnit/deviceUnit] }

type commandBlock struct{ *channel }

// Read implements bus.Handler. An access to the Data register moves as many
// bytes as it is wide; any other reads consecutive registers.
func (h commandBlock) Read(offset uint64, data []byte) {
	if !h.decoded.Load() {
		float(data)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if offset == regData {
		if d := h.selected(); d != nil {
			d.readData(data)
			h.update()
			return
		}
		clear(data)
		return
	}
	for i := range data {
		data[i] = h.readRegister(offset + uint64(i))
	}
}

// Write implements bus.Handler.
func (h commandBlock) Write(offset uint64, data []byte) {
	if !h.decoded.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if offset == regData {
		if d := h.selected(); d != nil {
			d.writeData(data)
			h.update()
		}
		return
	}
	for i, v := range data {
		h.writeRegister(offset+uint64(i), v)
	}
}

// float is what a bus reads as when nobody answers.
func float(data []byte) {
	for i := range data {
		data[i] = 0xFF
	}
}

type controlBlock struct{ *channel }

// Read implements bus.Handler: the Alternate Status register, which leaves the
// interrupt alone.
func (h controlBlock) Read(_ uint64, data []byte) {
	float(data)
	if !h.decoded.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	data[0] = 0
	if d := h.selected(); d != nil {
		data[0] = d.s.Status
	}
}

// Write implements bus.Handler: the Device Control register.
func (h controlBlock) Write(_ uint64, data []byte) {
	if !h.decoded.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writeControl(data[0])
}

func (ch *channel) readRegister(reg uint64) uint8 {
	d := ch.selected()
	if d == nil {
		return 0
	}
	var pair uint16
	switch reg {
	case regError:
		return d.s.Error
	case regDevice:
		return ch.s.Device | deviceOnes
	case regStatus:
		if d.s.Interrupt {
			d.s.Interrupt = false
			ch.update()
		}
		return d.s.Status
	case regCount:
		pair = d.s.Count
	case regLow:
		pair = d.s.Low
	case regMid:
		pair = d.s.Mid
	case regHigh:
		pair = d.s.High
	}
	if ch.s.Control&controlHOB != 0 {
		pair >>= 8
	}
	return uint8(pair)
}

// writeRegister takes a write to the command block. Both drives take it, but
// for the command.
func (ch *channel) writeRegister(reg uint64, v uint8) {
	ch.s.Control &^= controlHOB
	if reg == regStatus {
		ch.command(v)
		ch.update()
		return
	}
	if d := ch.selected(); d != nil && d.s.Phase != Idle {
		return // not a time at which a driver may write
	}
	if reg == regDevice {
		ch.s.Device = v &^ deviceOnes
		ch.update() // of the other drive now
		return
	}
	for _, d := range ch.drives {
		if d == nil {
			continue
		}
		switch reg {
		case regError: // Features
			d.s.Features = push(d.s.Features, v)
		case regCount:
			d.s.Count = push(d.s.Count, v)
		case regLow:
			d.s.Low = push(d.s.Low, v)
		case regMid:
			d.s.Mid = push(d.s.Mid, v)
		case regHigh:
			d.s.High = push(d.s.High, v)
		}
	}
}

// push writes to a register that remembers what was in it before.
func push(pair uint16, v uint8) uint16 { return pair<<8 | uint16(v) }

// command starts a command on the selected drive.
func (ch *channel) command(v uint8) {
	d := ch.selected()
	if ch.s.Control&controlSRST != 0 || ch.resetting {
		return
	}
	if d != nil && d.s.Phase != Idle {
		if v != cmdDeviceReset || !d.dev.packet() {
			return
		}
	} else if v == cmdExecuteDiagnostic {
		ch.diagnose()
		return
	}
	if d == nil {
		return
	}
	d.s.Interrupt = false
	d.s.Command = v
	if v == cmdDeviceReset && d.dev.packet() {
		d.resetting = true
		d.abandon()
		ch.settle()
		return
	}
	d.s.Error = 0
	d.dev.execute(v)
}

// diagnose carries out EXECUTE DEVICE DIAGNOSTIC, on both drives.
func (ch *channel) diagnose() {
	ch.s.Device = 0
	for _, d := range ch.drives {
		if d != nil {
			d.signature()
			d.s.Interrupt = d.unit == 0
		}
	}
}

func (ch *channel) writeControl(v uint8) {
	was := ch.s.Control
	ch.s.Control = v & (controlHOB | controlSRST | controlNIEN)
	switch set := v&controlSRST != 0; {
	case set && was&controlSRST == 0:
		ch.resetting = false
		for _, d := range ch.drives {
			if d != nil {
				d.resetting = false
				d.abandon()
			}
		}
	case !set && was&controlSRST != 0:
		ch.resetting = true
		ch.settle()
	}
	ch.update()
}

// settle completes resets that do not wait for the host's disk any more.
func (ch *channel) settle() {
	waits := false
	for _, d := range ch.drives {
		if d == nil {
			continue
		}
		waits = waits || d.inFlight
		if d.resetting && !d.inFlight {
			d.resetting = false
			d.dev.reset()
			d.signature()
		}
	}
	if !ch.resetting || waits {
		return
	}
	ch.resetting = false
	ch.s.Device = 0
	for _, d := range ch.drives {
		if d != nil {
			d.dev.reset()
			d.signature()
		}
	}
}

// update gives the line the level of the selected drive's interrupt. The bus
// master remembers that it was asserted.
func (ch *channel) update() {
	d := ch.selected()
	level := d != nil && d.s.Interrupt && ch.s.Control&controlNIEN == 0
	if level == ch.s.Asserted {
		return
	}
	ch.s.Asserted = level
	if level {
		ch.s.BusMaster.Status |= bmInterrupt
	}
	ch.line.Set(level)
}

// powerOn puts the channel in its power-on state. Nothing is in flight.
func (ch *channel) powerOn(firmware bool) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	asserted := ch.s.Asserted
	ch.s = ChannelState{Asserted: asserted}
	ch.resetting = false
	for _, d := range ch.drives {
		if d == nil {
			continue
		}
		d.powerOn()
		if firmware {
			ch.s.BusMaster.Status |= bmCapable0 << d.unit
		}
	}
	ch.update()
}

// quiesce drops what the drives are doing, and waits for the host's disk.
func (ch *channel) quiesce() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for _, d := range ch.drives {
		if d != nil {
			d.resetting = false
			d.abandon()
		}
	}
	ch.resetting = false
	ch.waitLocked()
}

// wait waits for the host's disk.
func (ch *channel) wait() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.waitLocked()
}

func (ch *channel) waitLocked() {
	for _, d := range ch.drives {
		for d != nil && d.inFlight {
			ch.idle.Wait()
		}
	}
}

// resume submits what was kept.
func (ch *channel) resume() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.paused = false
	for _, d := range ch.drives {
		if d != nil && d.held {
			d.held = false
			d.start()
		}
	}
}
