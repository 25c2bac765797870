package platform

import (
	"fmt"
	"strings"
)

// Key is a key by the code that the Linux input subsystem has for it, 1 to 255
// (linux/input-event-codes.h).
type Key uint8

// Keys with a behaviour of their own, or on which that of others depends.
const (
	keyLeftCtrl   Key = 29
	keyLeftShift  Key = 42
	keyRightShift Key = 54
	keyLeftAlt    Key = 56
	keyRightCtrl  Key = 97
	keyPrint      Key = 99
	keyRightAlt   Key = 100
	keyPause      Key = 119
)

// keyRow is a key of the keyboard: its names in the Linux input subsystem and
// in QEMU's QKeyCode, and its make codes. Those of set 1 are set 2's,
// translated. A code of 0 in set 3 is none.
type keyRow struct {
	key   Key
	linux string
	qcode string
	set2  uint16 // with its prefix in bits 15:8
	set3  uint8
}

var keys = [...]keyRow{
	{1, "esc", "esc", 0x76, 0x08},
	{2, "1", "1", 0x16, 0x16},
	{3, "2", "2", 0x1E, 0x1E},
	{4, "3", "3", 0x26, 0x26},
	{5, "4", "4", 0x25, 0x25},
	{6, "5", "5", 0x2E, 0x2E},
	{7, "6", "6", 0x36, 0x36},
	{8, "7", "7", 0x3D, 0x3D},
	{9, "8", "8", 0x3E, 0x3E},
	{10, "9", "9", 0x46, 0x46},
	{11, "0", "0", 0x45, 0x45},
	{12, "minus", "minus", 0x4E, 0x4E},
	{13, "equal", "equal", 0x55, 0x55},
	{14, "backspace", "backspace", 0x66, 0x66},
	{15, "tab", "tab", 0x0D, 0x0D},
	{16, "q", "q", 0x15, 0x15},
	{17, "w", "w", 0x1D, 0x1D},
	{18, "e", "e", 0x24, 0x24},
	{19, "r", "r", 0x2D, 0x2D},
	{20, "t", "t", 0x2C, 0x2C},
	{21, "y", "y", 0x35, 0x35},
	{22, "u", "u", 0x3C, 0x3C},
	{23, "i", "i", 0x43, 0x43},
	{24, "o", "o", 0x44, 0x44},
	{25, "p", "p", 0x4D, 0x4D},
	{26, "leftbrace", "bracket_left", 0x54, 0x54},
	{27, "rightbrace", "bracket_right", 0x5B, 0x5B},
	{28, "enter", "ret", 0x5A, 0x5A},
	{29, "leftctrl", "ctrl", 0x14, 0x11},
	{30, "a", "a", 0x1C, 0x1C},
	{31, "s", "s", 0x1B, 0x1B},
	{32, "d", "d", 0x23, 0x23},
	{33, "f", "f", 0x2B, 0x2B},
	{34, "g", "g", 0x34, 0x34},
	{35, "h", "h", 0x33, 0x33},
	{36, "j", "j", 0x3B, 0x3B},
	{37, "k", "k", 0x42, 0x42},
	{38, "l", "l", 0x4B, 0x4B},
	{39, "semicolon", "semicolon", 0x4C, 0x4C},
	{40, "apostrophe", "apostrophe", 0x52, 0x52},
	{41, "grave", "grave_accent", 0x0E, 0x0E},
	{42, "leftshift", "shift", 0x12, 0x12},
	{43, "backslash", "backslash", 0x5D, 0x5C},
	{44, "z", "z", 0x1A, 0x1A},
	{45, "x", "x", 0x22, 0x22},
	{46, "c", "c", 0x21, 0x21},
	{47, "v", "v", 0x2A, 0x2A},
	{48, "b", "b", 0x32, 0x32},
	{49, "n", "n", 0x31, 0x31},
	{50, "m", "m", 0x3A, 0x3A},
	{51, "comma", "comma", 0x41, 0x41},
	{52, "dot", "dot", 0x49, 0x49},
	{53, "slash", "slash", 0x4A, 0x4A},
	{54, "rightshift", "shift_r", 0x59, 0x59},
	{55, "kpasterisk", "kp_multiply", 0x7C, 0x7E},
	{56, "leftalt", "alt", 0x11, 0x19},
	{57, "space", "spc", 0x29, 0x29},
	{58, "capslock", "caps_lock", 0x58, 0x14},
	{59, "f1", "f1", 0x05, 0x07},
	{60, "f2", "f2", 0x06, 0x0F},
	{61, "f3", "f3", 0x04, 0x17},
	{62, "f4", "f4", 0x0C, 0x1F},
	{63, "f5", "f5", 0x03, 0x27},
	{64, "f6", "f6", 0x0B, 0x2F},
	{65, "f7", "f7", 0x83, 0x37},
	{66, "f8", "f8", 0x0A, 0x3F},
	{67, "f9", "f9", 0x01, 0x47},
	{68, "f10", "f10", 0x09, 0x4F},
	{69, "numlock", "num_lock", 0x77, 0x76},
	{70, "scrolllock", "scroll_lock", 0x7E, 0x5F},
	{71, "kp7", "kp_7", 0x6C, 0x6C},
	{72, "kp8", "kp_8", 0x75, 0x75},
	{73, "kp9", "kp_9", 0x7D, 0x7D},
	{74, "kpminus", "kp_subtract", 0x7B, 0x84},
	{75, "kp4", "kp_4", 0x6B, 0x6B},
	{76, "kp5", "kp_5", 0x73, 0x73},
	{77, "kp6", "kp_6", 0x74, 0x74},
	{78, "kpplus", "kp_add", 0x79, 0x7C},
	{79, "kp1", "kp_1", 0x69, 0x69},
	{80, "kp2", "kp_2", 0x72, 0x72},
	{81, "kp3", "kp_3", 0x7A, 0x7A},
	{82, "kp0", "kp_0", 0x70, 0x70},
	{83, "kpdot", "kp_decimal", 0x71, 0x71},
	{86, "102nd", "less", 0x61, 0x13},
	{87, "f11", "f11", 0x78, 0x56},
	{88, "f12", "f12", 0x07, 0x5E},
	{89, "ro", "ro", 0x51, 0x00},
	{92, "henkan", "henkan", 0x64, 0x00},
	{93, "katakanahiragana", "katakanahiragana", 0x13, 0x00},
	{94, "muhenkan", "muhenkan", 0x67, 0x00},
	{96, "kpenter", "kp_enter", 0xE05A, 0x79},
	{97, "rightctrl", "ctrl_r", 0xE014, 0x58},
	{98, "kpslash", "kp_divide", 0xE04A, 0x77},
	{99, "sysrq", "print", 0xE07C, 0x57},
	{100, "rightalt", "alt_r", 0xE011, 0x39},
	{102, "home", "home", 0xE06C, 0x6E},
	{103, "up", "up", 0xE075, 0x63},
	{104, "pageup", "pgup", 0xE07D, 0x6F},
	{105, "left", "left", 0xE06B, 0x61},
	{106, "right", "right", 0xE074, 0x6A},
	{107, "end", "end", 0xE069, 0x65},
	{108, "down", "down", 0xE072, 0x60},
	{109, "pagedown", "pgdn", 0xE07A, 0x6D},
	{110, "insert", "insert", 0xE070, 0x67},
	{111, "delete", "delete", 0xE071, 0x64},
	{113, "mute", "audiomute", 0xE023, 0x00},
	{114, "volumedown", "volumedown", 0xE021, 0x00},
	{115, "volumeup", "volumeup", 0xE032, 0x00},
	{116, "power", "power", 0xE037, 0x00},
	{117, "kpequal", "kp_equals", 0x0F, 0x00},
	{119, "pause", "pause", 0xE077, 0x62},
	{121, "kpcomma", "kp_comma", 0x6D, 0x00},
	{124, "yen", "yen", 0x6A, 0x00},
	{125, "leftmeta", "meta_l", 0xE01F, 0x8B},
	{126, "rightmeta", "meta_r", 0xE027, 0x8C},
	{127, "compose", "menu", 0xE02F, 0x8D},
	{128, "stop", "stop", 0xE028, 0x00},
	{140, "calc", "calculator", 0xE02B, 0x00},
	{142, "sleep", "sleep", 0xE03F, 0x00},
	{143, "wakeup", "wake", 0xE05E, 0x00},
	{155, "mail", "mail", 0xE048, 0x00},
	{156, "bookmarks", "ac_bookmarks", 0xE018, 0x00},
	{157, "computer", "computer", 0xE040, 0x00},
	{158, "back", "ac_back", 0xE038, 0x00},
	{159, "forward", "ac_forward", 0xE030, 0x00},
	{163, "nextsong", "audionext", 0xE04D, 0x00},
	{164, "playpause", "audioplay", 0xE034, 0x00},
	{165, "previoussong", "audioprev", 0xE015, 0x00},
	{166, "stopcd", "audiostop", 0xE03B, 0x00},
	{172, "homepage", "ac_home", 0xE03A, 0x00},
	{173, "refresh", "ac_refresh", 0xE020, 0x00},
	{217, "search", "find", 0xE010, 0x00},
	{226, "media", "mediaselect", 0xE050, 0x00},
}

// rowOf finds a key, or nil.
func rowOf(key Key) *keyRow {
	for i := range keys {
		if keys[i].key == key {
			return &keys[i]
		}
	}
	return nil
}

// KeyNamed finds a key by its name in QEMU's QKeyCode ("ret", "ctrl", "f12",
// "kp_enter") or in the Linux input subsystem ("enter" or "KEY_ENTER",
// "leftctrl").
func KeyNamed(name string) (key Key, ok bool) {
	name = strings.TrimPrefix(strings.ToLower(name), "key_")
	for i := range keys {
		if keys[i].qcode == name || keys[i].linux == name {
			return keys[i].key, true
		}
	}
	return 0, false
}

// ParseKeys takes keys that are pressed together, as in "ctrl-alt-delete".
func ParseKeys(s string) ([]Key, error) {
	var list []Key
	for name := range strings.SplitSeq(s, "-") {
		key, ok := KeyNamed(name)
		if !ok {
			return nil, fmt.Errorf("keys %q: there is no key %q; keys have names such as ret, spc, f12, minus, kp_enter, joined by \"-\"", s, name)
		}
		list = append(list, key)
	}
	return list, nil
}
