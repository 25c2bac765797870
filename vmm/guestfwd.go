package vmm

import (
	"context"
	"fmt"
	"io"
	"net/netip"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/guestfwd"
	"github.com/govmm/govmm/domcfg"
)

// userChannels are addresses in a user network that lead to character devices.
type userChannels map[netip.AddrPort]func(context.Context) (io.ReadWriteCloser, error)

// addGuestForwards adds the channels of target type guestfwd. They are reached
// through every user network of the machine, and closed after those.
func (m *Machine) addGuestForwards(context.Context) error {
	channels := make(userChannels)
	for i, c := range m.domain.Devices.Channels {
		if c.TargetType != domcfg.ChannelGuestForward {
			continue
		}
		address, err := netip.ParseAddr(c.TargetAddress)
		if err != nil {
			return fmt.Errorf("devices/channel[%d]/target: %w", i+1, err)
		}
		// A program of the guest waits, for a host program that needs every byte.
		char, err := m.openChardev(fmt.Sprintf("channel%d", i), &c.CharBackend, chardev.Endless)
		if err != nil {
			return fmt.Errorf("devices/channel[%d]: %w", i+1, err)
		}
		device := guestfwd.New(char.backend)
		m.board.resets(device)
		channels[netip.AddrPortFrom(address, c.TargetPort)] = device.Open
	}
	m.board.userChannels = channels
	return nil
}
