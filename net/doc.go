// Package net holds the host ends of network interfaces: what a guest's NIC is
// plugged into.
//
// A front end is the NIC the guest sees, in virtio or devices. A back end is a
// host resource; it implements [Backend]. Here are the tap interface ([Tap]),
// alone or in a bridge, and the pair ([NewPair]), two back ends joined by a
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
// one goroutine a direction and queue that loops over
//
//	Receive until ErrAgain, then WaitReceive
//
// and ends at the first other error. To stop it, the front end sets its own
// flag and calls Wake.
//
// # Waiting
//
// A descriptor is waited for by the Go runtime's poller. Between two goroutines
// that answer each other, that took 10 µs for both ways, and a thread in
// poll(2) on the descriptor and an eventfd 12 µs; after 2 ms of idling 26 µs
// and 47 µs. It also needs no thread a queue, and a deadline to stop it in place
// of an eventfd.
package net
