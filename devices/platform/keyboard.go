package platform

// Keyboard is the PS/2 keyboard of an I8042, an IBM enhanced keyboard of 101
// keys and the multimedia keys that came later (IBM PS/2 Hardware Interface
// Technical Reference, "Keyboard"). Its methods press its keys, from any
// goroutine.
//
// It does not repeat keys by itself: who holds a key calls Key again, as user
// interfaces do. Num Lock and Shift do not wrap the cursor keys' codes into
// others.
type Keyboard struct {
	controller *I8042
}

// KeyboardState is all there is to know about the keyboard.
type KeyboardState struct {
	Replies ps2FIFO // to commands; they go before the codes
	Codes   ps2FIFO // of the keys
	Overrun bool    // the overrun code has been put in
	Last    uint8   // byte sent last
	Command uint8   // that waits for a parameter; 0 is none

	Set       uint8 // scan code set, 1 to 3
	Scanning  bool
	LEDs      uint8 // bit 0 Scroll Lock, bit 1 Num Lock, bit 2 Caps Lock
	Typematic uint8 // rate and delay
	Types     [set3Codes]keyType
	Held      [4]uint64 // bit n of all: the key with code n is down
}

// Commands to the keyboard.
const (
	kbdLEDs       = 0xED // with data
	kbdEcho       = 0xEE
	kbdSet        = 0xF0 // with data
	kbdIdentify   = 0xF2
	kbdTypematic  = 0xF3 // with data
	kbdEnable     = 0xF4
	kbdDisable    = 0xF5
	kbdDefaults   = 0xF6
	kbdAllFirst   = 0xF7 // to 0xFA: the type of all keys
	kbdAllLast    = 0xFA
	kbdTypeFirst  = 0xFB // to 0xFD, with scan codes: the type of these keys
	kbdTypeLast   = 0xFD
	kbdLowest     = kbdLEDs // what is at least this is a command, not data
	kbdIDFirst    = 0xAB
	kbdIDSecond   = 0x83
	kbdDefaultSet = 2
	kbdRate       = 0x2B // 10.9 characters a second after 500 ms
)

// reset is the keyboard's state after power-on.
func (k *KeyboardState) reset() {
	held := k.Held // by someone's finger
	*k = KeyboardState{Held: held}
	k.defaults()
}

// defaults sets what the command of this name does.
func (k *KeyboardState) defaults() {
	k.Set, k.Scanning, k.Typematic = kbdDefaultSet, true, kbdRate
	for i := range k.Types {
		k.Types[i] = defaultType(uint8(i))
	}
	k.clearCodes()
}

func (k *KeyboardState) clearCodes() {
	k.Codes.clear()
	k.Overrun = false
}

// receive takes a byte from the controller.
func (k *KeyboardState) receive(v uint8) {
	if v == ps2ResendIt {
		k.Replies.clear()
		k.Replies.push(k.Last)
		return
	}
	k.Replies.clear()
	command := k.Command
	k.Command = 0
	if command != 0 && v < kbdLowest {
		k.parameter(command, v)
		return
	}
	switch {
	case v == kbdEcho:
		k.Replies.push(kbdEcho)
		return
	case v == kbdIdentify:
		k.Replies.push(ps2Ack, kbdIDFirst, kbdIDSecond)
		return
	case v == kbdLEDs, v == kbdSet, v == kbdTypematic, v >= kbdTypeFirst && v <= kbdTypeLast:
		k.Command = v
	case v == kbdEnable:
		k.clearCodes()
		k.Scanning = true
	case v == kbdDisable:
		k.defaults()
		k.Scanning = false
	case v == kbdDefaults:
		k.defaults()
	case v >= kbdAllFirst && v <= kbdAllLast:
		for i := range k.Types {
			k.Types[i] = allTypes[v-kbdAllFirst]
		}
	case v == ps2Reset:
		k.reset()
		k.Replies.push(ps2Ack, ps2Passed)
		return
	default:
		k.Replies.push(ps2Resend)
		return
	}
	k.Replies.push(ps2Ack)
}

// parameter takes the data of a command.
func (k *KeyboardState) parameter(command, v uint8) {
	switch {
	case command == kbdLEDs:
		k.LEDs = v & 7
	case command == kbdTypematic:
		k.Typematic = v & 0x7F
	case command == kbdSet && v == 0:
		k.Replies.push(ps2Ack, k.Set)
		return
	case command == kbdSet && v <= 3:
		k.Set = v
		k.clearCodes()
	case command >= kbdTypeFirst && int(v) < len(k.Types):
		k.Types[v] = eachType[command-kbdTypeFirst]
		k.Command = command // more may follow
	default:
		k.Replies.push(ps2Resend)
		return
	}
	k.Replies.push(ps2Ack)
}

// next takes the byte to be sent next. A translating controller turns it into
// set 1, and keeps back the prefix of a break code.
func (k *KeyboardState) next(translating bool) (v uint8, ok bool) {
	if v, ok = k.Replies.pop(); !ok {
		if v, ok = k.Codes.pop(); !ok {
			return 0, false
		}
	}
	k.Last = v
	if !translating {
		return v, true
	}
	if v != breakPrefix {
		return translate(v), true
	}
	if v, ok = k.Codes.pop(); !ok {
		return 0, false
	}
	k.Last = v
	return translate(v) | breakBit, true
}

// press queues what pressing or releasing a key sends, if there is room, and
// reports whether there was.
func (k *KeyboardState) press(key Key, down bool) bool {
	var b [maxSequence]uint8
	codes, known := k.sequence(b[:0], key, down)
	if !known {
		return false
	}
	if !k.Scanning {
		k.hold(key, down)
		return false
	}
	if !k.Codes.room(len(codes)) {
		if !k.Overrun {
			k.Overrun = true
			k.Codes.push(overrunCode(k.Set))
		}
		return false
	}
	k.Overrun = false
	k.hold(key, down)
	k.Codes.push(codes...)
	return true
}

func (k *KeyboardState) hold(key Key, down bool) {
	if down {
		k.Held[key>>6] |= 1 << (key & 63)
	} else {
		k.Held[key>>6] &^= 1 << (key & 63)
	}
}

func (k *KeyboardState) held(keys ...Key) bool {
	for _, key := range keys {
		if k.Held[key>>6]>>(key&63)&1 != 0 {
			return true
		}
	}
	return false
}

// Key presses or releases a key. Pressing one that is down repeats it. It is
// false, and the key is as before, when the guest has not read the keys before
// this one: the sixteen bytes that a keyboard keeps are full. It is also false
// for a key that no scan code stands for, and when there is no keyboard or the
// guest has turned it off.
func (k *Keyboard) Key(key Key, down bool) (sent bool) {
	c := k.controller
	if c.noKeyboard {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sent = c.s.Keyboard.press(key, down)
	c.update()
	return sent
}

// Press presses keys together and releases them in reverse order: "ctrl", "alt",
// "delete". It is false, and nothing is done, in the cases in which Key is.
func (k *Keyboard) Press(keys ...Key) (sent bool) {
	c := k.controller
	if c.noKeyboard {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	trial := c.s.Keyboard
	for _, key := range keys {
		if !trial.press(key, true) {
			return false
		}
	}
	for i := range keys {
		if !trial.press(keys[len(keys)-1-i], false) {
			return false
		}
	}
	c.s.Keyboard = trial
	c.update()
	return true
}

// Idle reports whether the guest has read all that was sent. Who types faster
// than a person waits for it.
func (k *Keyboard) Idle() bool {
	c := k.controller
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.Keyboard.Codes.Len == 0 && c.s.Status&(statusOutputFull|statusAux) != statusOutputFull
}

// LEDs are bit 0 Scroll Lock, bit 1 Num Lock and bit 2 Caps Lock, as the guest
// has set them.
func (k *Keyboard) LEDs() uint8 {
	c := k.controller
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.Keyboard.LEDs
}
