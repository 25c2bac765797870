package nbd

import (
	"fmt"
	"net/url"
	"strings"
)

// ParseURI reads the name of an export: nbd://HOST[:PORT][/EXPORT] or
// nbd+unix:///[EXPORT]?socket=PATH, as the NBD project's doc/uri.md has it. It is
// false for what is no such name, such as that of a file.
func ParseURI(name string) (o Options, ok bool, err error) {
	if !strings.HasPrefix(name, "nbd://") && !strings.HasPrefix(name, "nbd+") && !strings.HasPrefix(name, "nbds") {
		return o, false, nil
	}
	if !strings.Contains(name, "://") {
		return o, false, nil // a file of that name
	}
	u, err := url.Parse(name)
	if err != nil {
		return o, false, err
	}
	o.Export = strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "nbd", "nbd+tcp":
		if u.Hostname() == "" {
			return o, false, fmt.Errorf("%s names no host: nbd://HOST[:PORT]/EXPORT does", name)
		}
		o.Network, o.Address = "tcp", u.Host
		if u.Port() == "" {
			o.Address = TCPAddress(u.Hostname(), 0)
		}
	case "nbd+unix":
		o.Network, o.Address = "unix", u.Query().Get("socket")
		if o.Address == "" {
			return o, false, fmt.Errorf("%s names no socket: nbd+unix:///EXPORT?socket=PATH does", name)
		}
	default:
		return o, false, fmt.Errorf("%s: the scheme %s is not possible here; nbd and nbd+unix are", name, u.Scheme)
	}
	return o, true, nil
}
