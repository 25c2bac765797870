package early

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An input event as /dev/input/eventN gives it on a 64-bit machine (Linux,
// include/uapi/linux/input.h):
//
//	0              16     18     20      24
//	+--------------+------+------+-------+
//	| time         | type | code | value |
//	+--------------+------+------+-------+
const (
	inputEventSize = 24
	evKey          = 1
	keyPower       = 116
	keyPressed     = 1
)

// PowerButton is the ACPI power button, through the input device that the
// kernel's button module makes of it; the evdev module gives it a node.
type PowerButton struct{ files []*os.File }

// OpenPowerButton finds the machine's power buttons.
func OpenPowerButton() (*PowerButton, error) {
	names, err := filepath.Glob("/sys/class/input/event*/device/name")
	if err != nil {
		return nil, err
	}
	b := &PowerButton{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || strings.TrimSpace(string(text)) != "Power Button" {
			continue
		}
		event := filepath.Base(filepath.Dir(filepath.Dir(name)))
		f, err := os.Open(filepath.Join("/dev/input", event))
		if err != nil {
			return nil, fmt.Errorf("power button: %w", err)
		}
		b.files = append(b.files, f)
	}
	if len(b.files) == 0 {
		return nil, errors.New("power button: none found (no ACPI, or no modules button and evdev)")
	}
	return b, nil
}

// Wait returns when a button has been pressed.
func (b *PowerButton) Wait() error {
	pressed := make(chan error, len(b.files))
	for _, f := range b.files {
		go func() { pressed <- waitPress(f) }()
	}
	return <-pressed
}

func waitPress(f *os.File) error {
	var event [inputEventSize]byte
	for {
		if _, err := f.Read(event[:]); err != nil {
			return fmt.Errorf("power button: %w", err)
		}
		if binary.LittleEndian.Uint16(event[16:]) == evKey &&
			binary.LittleEndian.Uint16(event[18:]) == keyPower &&
			binary.LittleEndian.Uint32(event[20:]) == keyPressed {
			return nil
		}
	}
}
