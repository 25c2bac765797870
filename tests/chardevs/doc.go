// Package chardevs tests every front end of character devices with every back end,
// a driver of the guest's at one side and programs of other authors at the other:
// socat, telnet, and what opens FIFOs, files and ptys.
//
// One test moves 1 MiB each way through each pair; another has the peer of each
// pair be absent, come, stall, leave and return.
package chardevs
