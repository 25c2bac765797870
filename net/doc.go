// Package net holds the host ends of network interfaces: what a guest's NIC is
// plugged into.
//
// A front end is the NIC the guest sees, in virtio or devices. A back end is a
// host resource; it implements [Backend]. Here are the tap interface ([Tap]),
// alone or in a bridge, the macvtap ([Macvtap]), which shares an interface of the
// host, and the pair ([NewPair]), two back ends joined by a
// wire that is in no network. Package vhost below lets the kernel move the
// frames of a tap by itself.
//
// # Frames
//
// A frame is a virtio_net_hdr followed by an Ethernet frame without its FCS,
// given as a list of byte slices that need not be split between the two. They
// may lie in guest memory: the kernel reads and writes them in place. Front
// ends without offloads send a header of zeros and skip the one they receive.
//
// # Flow
//
// Nothing here queues or keeps frames. Those for the guest wait in the kernel,
// whose queue is bounded and which drops what does not fit, until the front
// end calls Receive; those of the guest wait in its own ring. A front end has
// one goroutine a queue pair that sends and receives in turns, and calls Wait
// when there is nothing to do either way. To stop it, the front end sets its
// own flag and calls Wake.
//
// # Waiting
//
// Wait is poll(2) on the descriptor, an eventfd that is Wake's, and whatever
// else the caller waits for, such as the doorbells of its rings: one thread
// sleeps for both directions. The Go runtime's poller has no part in it. By
// its way a goroutine waits for one descriptor only, so that each direction
// needs its own and an answer to a frame wakes another thread; and as it is
// told of every frame on a descriptor that it knows, its thread wakes up for
// those that nobody waits for, too.
package net
