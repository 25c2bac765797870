// Package socket is host ends of NICs that carry Ethernet frames over IP, as
// QEMU's -netdev socket does, which may be at the other end: a guest of ours and
// one of QEMU's are then on one network. No privilege is needed.
//
// [NewServer] and [NewClient] join two machines by a TCP connection, on which
// each frame comes behind its length as a 32-bit big-endian number. [NewMcast]
// joins any number of machines by a UDP multicast group, with a frame a
// datagram. Nothing is encrypted, and whoever reaches the port is on the
// network.
//
// A server serves one client at a time; others wait until it has gone. A client
// connects again after the connection is lost. The link is up while there is a
// connection; what the guest sends meanwhile is dropped and counted.
//
// What waits is bounded: a ring each way (soft.RingSize), and what the kernel
// keeps for a socket. A full ring makes a TCP peer wait, and drops datagrams.
package socket
