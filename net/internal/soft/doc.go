// Package soft is the half of a host end that faces the front end, for those
// that are programs and not descriptors of the kernel's: sockets that carry
// frames, and a network of our own. Such a host end is a [Wire]; a [Port] makes
// a net.Backend with one queue pair of it.
//
// [Ring] holds frames in a bounded buffer, as they are on a stream: each behind
// its length, so that a stream's bytes go in and out without being cut up.
package soft
