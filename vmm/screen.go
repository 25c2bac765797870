package vmm

import (
	"errors"
	"fmt"
	"io"

	"github.com/govmm/govmm/devices/platform"
	"github.com/govmm/govmm/devices/vga"
)

// ErrNoScreen is the answer of a machine without a display adapter.
var ErrNoScreen = errors.New("the machine has no display adapter (<video>)")

// Screenshot writes what the machine's monitor shows as a PNG picture. The guest
// keeps running.
func (m *Machine) Screenshot(w io.Writer) error {
	v, err := m.screen()
	if err != nil {
		return err
	}
	return v.WritePNG(w)
}

// ScreenText returns what the machine's monitor shows in a text mode, line by
// line, without blanks at the ends.
func (m *Machine) ScreenText() (string, error) {
	v, err := m.screen()
	if err != nil {
		return "", err
	}
	text, err := v.Text()
	if err != nil {
		return "", err
	}
	return text.String(), nil
}

func (m *Machine) screen() (*vga.VGA, error) {
	if m.board.video == nil {
		return nil, ErrNoScreen
	}
	return m.board.video, nil
}

// SendKeys presses keys of the machine's keyboard, all of them together, and lets
// them go: "f12", "ctrl-alt-delete". The names are QEMU's. It fails when the
// guest has not taken the keys before.
func (m *Machine) SendKeys(combination string) error {
	keys, err := platform.ParseKeys(combination)
	if err != nil {
		return fmt.Errorf("keys %q: %w", combination, err)
	}
	if !m.board.keyboard.Press(keys...) {
		return fmt.Errorf("keys %q: the keyboard's buffer is full", combination)
	}
	return nil
}
