// Package chardevs tests every front end of character devices with every back end,
// a driver of the guest's at one side and programs of other authors at the other:
// socat, telnet, and what opens FIFOs, files and ptys.
package chardevs
