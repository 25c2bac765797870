package socket

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"

	"github.com/govmm/govmm/net/internal/soft"
)

// Options describe a host end.
type Options struct {
	// Address of the server, the interface to listen on ("" is any), or the
	// multicast group: a name, or an IP address.
	Address string
	Port    uint16
	MTU     int          // bytes, that Backend.MTU tells; 0 means 1500
	Log     *slog.Logger // nil discards
}

// hostPort is the address and port as text.
func (o *Options) hostPort() string {
	return net.JoinHostPort(o.Address, strconv.Itoa(int(o.Port)))
}

// port makes the front end's side.
func (o *Options) port(kind string) (*soft.Port, error) {
	if o.Port == 0 {
		return nil, fmt.Errorf("net: %s %s: port 0 is not 1 to 65535", kind, o.Address)
	}
	return soft.New(soft.Options{Name: kind + " " + o.hostPort(), MTU: o.MTU, Log: o.Log})
}
