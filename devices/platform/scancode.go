package platform

// Scan codes. A break code is the make code after a prefix in sets 2 and 3, and
// with bit 7 in set 1.
const (
	breakPrefix = 0xF0
	breakBit    = 0x80
	extended    = 0xE0 // prefix of the keys that the first PC had not
	pausePrefix = 0xE1
	maxSequence = 8 // bytes that one key sends
)

// setTwoToOne is how the controller translates set 2, which the keyboard sends,
// to set 1, which software expects.
var setTwoToOne = [...]uint8{
	0xFF, 0x43, 0x41, 0x3F, 0x3D, 0x3B, 0x3C, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3E, 0x0F, 0x29, 0x59,
	0x65, 0x38, 0x2A, 0x70, 0x1D, 0x10, 0x02, 0x5A, 0x66, 0x71, 0x2C, 0x1F, 0x1E, 0x11, 0x03, 0x5B,
	0x67, 0x2E, 0x2D, 0x20, 0x12, 0x05, 0x04, 0x5C, 0x68, 0x39, 0x2F, 0x21, 0x14, 0x13, 0x06, 0x5D,
	0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5E, 0x6A, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5F,
	0x6B, 0x33, 0x25, 0x17, 0x18, 0x0B, 0x0A, 0x60, 0x6C, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0C, 0x61,
	0x6D, 0x73, 0x28, 0x74, 0x1A, 0x0D, 0x62, 0x6E, 0x3A, 0x36, 0x1C, 0x1B, 0x75, 0x2B, 0x63, 0x76,
	0x55, 0x56, 0x77, 0x78, 0x79, 0x7A, 0x0E, 0x7B, 0x7C, 0x4F, 0x7D, 0x4B, 0x47, 0x7E, 0x7F, 0x6F,
	0x52, 0x53, 0x50, 0x4C, 0x4D, 0x48, 0x01, 0x45, 0x57, 0x4E, 0x51, 0x4A, 0x37, 0x49, 0x46, 0x54,
	0x80, 0x81, 0x82, 0x41, 0x54,
}

// translate gives the set 1 code for a set 2 code. Prefixes and the keyboard's
// answers stay as they are.
func translate(v uint8) uint8 {
	if int(v) < len(setTwoToOne) {
		return setTwoToOne[v]
	}
	return v
}

func overrunCode(set uint8) uint8 {
	if set == 1 {
		return 0xFF
	}
	return 0x00
}

// sequence appends what a key sends in the current set; known is false for one
// that is not on the keyboard. It may be nothing.
func (k *KeyboardState) sequence(b []uint8, key Key, down bool) (codes []uint8, known bool) {
	row := rowOf(key)
	if row == nil {
		return nil, false
	}
	switch k.Set {
	case 3:
		return k.setThree(b, row, down), true
	case 1:
		return toSetOne(k.setTwo(b, row, down)), true
	}
	return k.setTwo(b, row, down), true
}

// setTwo appends the codes of set 2. Two keys differ from all others: Pause has
// no break code, and what Print Screen sends shows that the PC had it on the
// shifted key of the asterisk.
func (k *KeyboardState) setTwo(b []uint8, row *keyRow, down bool) []uint8 {
	switch {
	case row.key == keyPause && !down:
		return b
	case row.key == keyPause && k.held(keyLeftCtrl, keyRightCtrl):
		return append(b, extended, 0x7E, extended, breakPrefix, 0x7E)
	case row.key == keyPause:
		return append(b, pausePrefix, 0x14, 0x77, pausePrefix, breakPrefix, 0x14, breakPrefix, 0x77)
	case row.key == keyPrint && k.held(keyLeftAlt, keyRightAlt):
		return appendSetTwo(b, 0x84, down)
	case row.key == keyPrint && !k.held(keyLeftCtrl, keyRightCtrl, keyLeftShift, keyRightShift):
		if down {
			return append(b, extended, 0x12, extended, 0x7C)
		}
		return append(b, extended, breakPrefix, 0x7C, extended, breakPrefix, 0x12)
	}
	return appendSetTwo(b, row.set2, down)
}

func appendSetTwo(b []uint8, code uint16, down bool) []uint8 {
	if code>>8 != 0 {
		b = append(b, uint8(code>>8))
	}
	if !down {
		b = append(b, breakPrefix)
	}
	return append(b, uint8(code))
}

// toSetOne translates a sequence of set 2 in place.
func toSetOne(b []uint8) []uint8 {
	out, bit := b[:0], uint8(0)
	for _, v := range b {
		if v == breakPrefix {
			bit = breakBit
			continue
		}
		out = append(out, translate(v)|bit)
		bit = 0
	}
	return out
}

// keyType is what a key does in set 3.
type keyType uint8

const (
	typeBreak  keyType = 1 << iota // it has a break code
	typeRepeat                     // it repeats while it is held
)

// allTypes are the types that the commands 0xF7 to 0xFA set, and eachType those
// of 0xFB to 0xFD.
var (
	allTypes = [...]keyType{typeRepeat, typeBreak, 0, typeBreak | typeRepeat}
	eachType = [...]keyType{typeRepeat, typeBreak, 0}
)

// set3Codes is one more than the highest make code of set 3.
const set3Codes = 0x90

// defaultType is the type that the key with the given code of set 3 has after
// power-on: the shift keys have break codes, what moves or types repeats.
func defaultType(code uint8) keyType {
	switch {
	case code == 0x11, code == 0x12, code == 0x14, code == 0x19, code == 0x59: // Ctrl, Shift, Caps Lock, Alt, Shift
		return typeBreak
	case code <= 0x5E && code&7 == 7, code == 0x08, code == 0x56, code == 0x5E: // F1 to F12, Esc
		return 0
	case code == 0x57, code == 0x5F, code == 0x62: // Print Screen, Scroll Lock, Pause
		return 0
	case code == 0x39, code == 0x58: // right Alt and Ctrl
		return 0
	case code == 0x67, code == 0x6E, code == 0x65, code == 0x6F, code == 0x6D: // Insert, Home, End, Page Up and Down
		return 0
	case code == 0x7C: // the keypad's plus
		return typeRepeat
	case code >= 0x69 && code != 0x6A && code <= 0x84: // the keypad
		return 0
	}
	return typeRepeat
}

// setThree appends the codes of set 3, where the keys' types matter.
func (k *KeyboardState) setThree(b []uint8, row *keyRow, down bool) []uint8 {
	code := row.set3
	if code == 0 {
		return b
	}
	kind := k.Types[code]
	switch {
	case down && kind&typeRepeat == 0 && k.held(row.key):
		return b
	case !down && kind&typeBreak == 0:
		return b
	case !down:
		b = append(b, breakPrefix)
	}
	return append(b, code)
}
