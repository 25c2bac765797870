// Package user is a network for one machine that needs no privilege: a NAT in
// this process, for <interface type="user"/>.
//
// The guest is in 10.0.2.0/24, with these neighbours:
//
//	10.0.2.2   the router, and the host: its ports are those of 127.0.0.1
//	10.0.2.3   a name server, which asks those of the host
//	10.0.2.15  the guest, by DHCP; further addresses of its own from .16 on
//
// What the guest sends ends in a TCP/IP stack (gVisor's), which plays the part
// of the whole rest of the world: a TCP connection or a UDP flow to anywhere
// becomes a socket of the host's that is connected there, and an echo request
// one of the host's ping sockets, if this user may have those
// (net.ipv4.ping_group_range). The router itself always answers. The guest
// hears of a refused connection before its own is made.
//
// From outside nothing reaches the guest but by a [Forward].
//
// # Limits
//
// A guest may have a limited number of connections, flows and requests on their
// way at a time. Further ones are refused, or lost, or take the place of the
// flow that has been idle for the longest time. Connections have bounded buffers: the
// window of one whose other side does not read closes, in both directions. What
// the guest has sent and gone away from is found by keep-alives.
//
// # Offloads
//
// TCP leaves the stack in segments of up to 60 KiB when the driver takes those,
// and comes in as the driver sends it, without checksums.
//
// Left out: IPv6, IGMP, TFTP, and connections to anything but unicast addresses.
package user
