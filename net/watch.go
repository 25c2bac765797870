package net

import (
	"errors"
	"os"
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

// watchLink calls f for each change of the interface, in the network namespace
// of the calling thread, until it is gone.
func watchLink(index int, f func(linkEvent)) (*linkWatch, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		return nil, err
	}
	w := &linkWatch{socket: socket}
	w.done.Go(func() { w.run(index, f) })
	return w, nil
}

func (w *linkWatch) run(index int, f func(linkEvent)) {
	for {
		messages, _, err := w.socket.Receive()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		// Any other error is that of one message: too many came at once
		// (ENOBUFS), or it was cut short. A later one has the state again.
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, m := range messages {
			if len(m.Data) < unix.SizeofIfInfomsg {
				continue
			}
			info := nl.DeserializeIfInfomsg(m.Data)
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
