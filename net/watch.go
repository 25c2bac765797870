package net

import (
	"errors"
	"sync"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// linkEvent is what an administrator did to an interface.
type linkEvent struct {
	up   bool // IFF_UP
	gone bool // deleted, or moved to another network namespace
}

// linkWatch tells of changes of one interface. The zero value watches nothing.
type linkWatch struct {
	socket *nl.NetlinkSocket
	done   sync.WaitGroup
}

// start calls f for each change of the interface, in the network namespace of
// the calling thread, until it is gone. refresh is asked when the kernel had
// more to tell than fits its buffer.
func (w *linkWatch) start(index int, refresh func() linkEvent, f func(linkEvent)) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return err
	}
	w.socket = socket
	w.done.Go(func() { w.run(index, refresh, f) })
	return nil
}

func (w *linkWatch) run(index int, refresh func() linkEvent, f func(linkEvent)) {
	for {
		messages, _, err := w.socket.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			e := refresh()
			f(e)
			if e.gone {
				return
			}
			continue
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil: // closed
			return
		}
		for _, m := range messages {
			if len(m.Data) < unix.SizeofIfInfomsg {
				continue
			}
			info := nl.DeserializeIfInfomsg(m.Data)
			// A port that leaves its bridge is a deletion too, in that family.
			if int(info.Index) != index || info.Family == unix.AF_BRIDGE {
				continue
			}
			gone := m.Header.Type == unix.RTM_DELLINK
			f(linkEvent{up: info.Flags&unix.IFF_UP != 0, gone: gone})
			if gone {
				return
			}
		}
	}
}

// stop ends the watch. The function is not called any more once it has
// returned.
func (w *linkWatch) stop() {
	if w.socket != nil {
		w.socket.Close()
		w.done.Wait()
	}
}
