package platform

// MouseButtons are buttons of the mouse that are down.
type MouseButtons uint8

// The buttons, as in the first byte of a packet and its fourth.
const (
	MouseLeft MouseButtons = 1 << iota
	MouseRight
	MouseMiddle
	MouseSide
	MouseExtra

	mouseThree = MouseLeft | MouseRight | MouseMiddle
)

// Mouse is the PS/2 mouse of an I8042 (IBM PS/2 Hardware Interface Technical
// Reference, "Mouse"), with the wheel of Microsoft's IntelliMouse and the two
// more buttons of its successor, which drivers find by the sample rates they
// set. Its method moves it, from any goroutine.
//
// The sample rate is kept and told, but does not matter: movement is reported
// at once, and added up while the guest does not read it.
type Mouse struct {
	controller *I8042
}

// MouseState is all there is to know about the mouse.
type MouseState struct {
	Replies ps2FIFO // to commands; they go before the packets
	Packets ps2FIFO
	Last    uint8 // byte sent last
	Command uint8 // that waits for a parameter; 0 is none
	Invalid bool  // the last command was none

	ID         uint8    // 0, 3 with a wheel, 4 with five buttons
	Rate       uint8    // reports a second
	Knocks     [2]uint8 // the two rates set before that
	Resolution uint8    // 1<<n counts for a millimetre
	Scaling    bool     // 2:1
	Reporting  bool     // in stream mode
	Remote     bool     // mode
	Wrap       bool     // mode

	// Movement that was not reported yet: right, up, and the wheel towards the
	// user.
	X, Y, Z int
	Buttons MouseButtons // now
	Told    MouseButtons // in the last report
}

// Commands to the mouse.
const (
	mouseScaling1   = 0xE6
	mouseScaling2   = 0xE7
	mouseResolution = 0xE8 // with data
	mouseStatus     = 0xE9
	mouseStream     = 0xEA
	mouseRead       = 0xEB
	mouseUnwrap     = 0xEC
	mouseWrap       = 0xEE
	mouseRemote     = 0xF0
	mouseIdentify   = 0xF2
	mouseRate       = 0xF3 // with data
	mouseEnable     = 0xF4
	mouseDisable    = 0xF5
	mouseDefaults   = 0xF6

	mousePlain       = 0 // IDs
	mouseWheel       = 3
	mouseFive        = 4
	mouseDefaultRate = 100
	mouseDefaultRes  = 2
)

// First byte of a packet, and of the answer to mouseStatus:
//
//	  7    6    5    4    3     2      1      0
//	+----+----+----+----+---+------+-------+------+
//	| YO | XO | YS | XS | 1 |middle| right | left |
//	+----+----+----+----+---+------+-------+------+
//	| 0 |remote|on |2:1 | 0 | left |middle | right|
//	+---+------+---+----+---+------+-------+------+
const (
	packetOne     = 1 << 3
	packetXSign   = 1 << 4
	packetYSign   = 1 << 5
	statusRemote  = 1 << 6
	statusOn      = 1 << 5
	statusScaling = 1 << 4
)

// mouseFar is the most movement that is kept for a guest that does not read it.
const mouseFar = 1 << 15

// reset is the mouse's state after power-on.
func (m *MouseState) reset() {
	*m = MouseState{Buttons: m.Buttons}
	m.defaults()
}

func (m *MouseState) defaults() {
	m.Rate, m.Resolution = mouseDefaultRate, mouseDefaultRes
	m.Scaling, m.Reporting, m.Remote = false, false, false
	m.forget()
}

// forget drops what was not reported.
func (m *MouseState) forget() {
	m.X, m.Y, m.Z = 0, 0, 0
	m.Told = m.visible()
}

// receive takes a byte from the controller. Any but the one that asks for it
// again drops what the mouse was about to send.
func (m *MouseState) receive(v uint8) {
	if m.Wrap && v != mouseUnwrap && v != ps2Reset {
		m.Replies.push(v)
		return
	}
	m.Replies.clear()
	if v == ps2ResendIt {
		m.Replies.push(m.Last)
		return
	}
	m.Packets.clear()
	command := m.Command
	m.Command = 0
	if command != 0 && v < mouseScaling1 { // what is at least that is no data
		m.parameter(command, v)
		return
	}
	if !m.command(v) {
		if m.Invalid {
			m.Replies.push(ps2Error)
		} else {
			m.Replies.push(ps2Resend)
		}
		m.Invalid = !m.Invalid
		return
	}
	m.Invalid = false
}

// command carries out a command. It is false for what is none.
func (m *MouseState) command(v uint8) bool {
	m.Replies.push(ps2Ack)
	switch v {
	case mouseScaling1, mouseScaling2:
		m.Scaling = v == mouseScaling2
	case mouseResolution, mouseRate:
		m.Command = v
		m.forget()
	case mouseStatus:
		m.Replies.push(m.status(), m.Resolution, m.Rate)
	case mouseStream, mouseRemote:
		m.Remote = v == mouseRemote
		m.forget()
	case mouseRead:
		m.packet(&m.Replies, false)
	case mouseUnwrap, mouseWrap:
		m.Wrap = v == mouseWrap
		m.forget()
	case mouseIdentify:
		m.Replies.push(m.ID)
	case mouseEnable, mouseDisable:
		m.Reporting = v == mouseEnable
		m.forget()
	case mouseDefaults:
		m.defaults()
	case ps2Reset:
		m.reset()
		m.Replies.push(ps2Ack, ps2Passed, mousePlain)
	default:
		m.Replies.clear()
		return false
	}
	return true
}

// parameter takes the data of a command.
func (m *MouseState) parameter(command, v uint8) {
	if command == mouseResolution {
		if v > 3 {
			m.Replies.push(ps2Resend)
			return
		}
		m.Resolution = v
		m.Replies.push(ps2Ack)
		return
	}
	switch [3]uint8{m.Knocks[0], m.Knocks[1], v} {
	case [3]uint8{200, 100, 80}:
		m.ID = mouseWheel
	case [3]uint8{200, 200, 80}:
		m.ID = mouseFive
	}
	m.Knocks[0], m.Knocks[1] = m.Knocks[1], v
	m.Rate = v
	m.Replies.push(ps2Ack)
}

func (m *MouseState) status() (v uint8) {
	for _, bit := range []struct {
		on bool
		v  uint8
	}{
		{m.Remote, statusRemote}, {m.Reporting, statusOn}, {m.Scaling, statusScaling},
		{m.Buttons&MouseLeft != 0, 1 << 2}, {m.Buttons&MouseMiddle != 0, 1 << 1}, {m.Buttons&MouseRight != 0, 1 << 0},
	} {
		if bit.on {
			v |= bit.v
		}
	}
	return v
}

// packetLen is how many bytes a report has.
func (m *MouseState) packetLen() int {
	if m.ID == mousePlain {
		return 3
	}
	return 4
}

// report queues packets while there is something to tell and room to do so.
func (m *MouseState) report() {
	if m.ID == mousePlain {
		m.Z = 0
	}
	for m.Reporting && !m.Remote && !m.Wrap && m.Packets.room(m.packetLen()) &&
		(m.X != 0 || m.Y != 0 || m.Z != 0 || m.visible() != m.Told) {
		m.packet(&m.Packets, m.Scaling)
	}
}

// visible are the buttons that a packet can tell.
func (m *MouseState) visible() MouseButtons {
	if m.ID == mouseFive {
		return m.Buttons
	}
	return m.Buttons & mouseThree
}

// packet makes a report of as much movement as one can hold:
//
//	first byte | X | Y | Z (ID 3: 8 bits; ID 4: 4 bits and two buttons)
func (m *MouseState) packet(to *ps2FIFO, scale bool) {
	limit := 255
	if scale {
		limit = 127
	}
	x, y := clamp(m.X, -limit, limit), clamp(m.Y, -limit, limit)
	m.X -= x
	m.Y -= y
	if scale {
		x, y = twoToOne(x), twoToOne(y)
	}
	first := packetOne | uint8(m.Buttons&mouseThree)
	if x < 0 {
		first |= packetXSign
	}
	if y < 0 {
		first |= packetYSign
	}
	to.push(first, uint8(x), uint8(y))
	m.Told = m.visible()
	switch m.ID {
	case mouseWheel:
		z := clamp(m.Z, -128, 127)
		m.Z -= z
		to.push(uint8(z))
	case mouseFive:
		z := clamp(m.Z, -8, 7)
		m.Z -= z
		to.push(uint8(z)&0x0F | uint8(m.Buttons&(MouseSide|MouseExtra))<<1)
	}
}

// twoToOne is the scaling of that name, which makes quick movements quicker.
func twoToOne(v int) int {
	if v < 0 {
		return -twoToOne(-v)
	}
	if v < 6 {
		return [...]int{0, 1, 1, 3, 6, 9}[v]
	}
	return 2 * v
}

func clamp(v, low, high int) int { return min(max(v, low), high) }

// next takes the byte to be sent next.
func (m *MouseState) next() (v uint8, ok bool) {
	if v, ok = m.Replies.pop(); !ok {
		m.report()
		if v, ok = m.Packets.pop(); !ok {
			return 0, false
		}
	}
	m.Last = v
	return v, true
}

// Move moves the mouse to the right by dx and down by dy, turns the wheel
// towards the user by dz, and says which buttons are down now. What the guest is
// not interested in is lost.
func (m *Mouse) Move(dx, dy, dz int, buttons MouseButtons) {
	c := m.controller
	if c.noMouse {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.s.Mouse
	s.Buttons = buttons
	if s.Reporting || s.Remote {
		s.X = move(s.X, dx)
		s.Y = move(s.Y, -dy)
		s.Z = move(s.Z, dz)
		s.report()
	}
	c.update()
}

// move adds to a movement, within what is kept.
func move(v, by int) int {
	return clamp(v+clamp(by, -mouseFar, mouseFar), -mouseFar, mouseFar)
}

// Enabled reports whether the guest asks for the mouse's movements.
func (m *Mouse) Enabled() bool {
	c := m.controller
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.Mouse.Reporting || c.s.Mouse.Remote
}
