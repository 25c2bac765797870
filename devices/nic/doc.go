// Package nic is what models of network cards have in common: the goroutine that
// carries frames between a card and its host end ([Wire]).
//
// Each model is a package below this one. It is a PCI function whose registers
// the vCPUs drive and whose rings the Wire's goroutine serves: a doorbell wakes
// it. Frames are whole: what a card can leave to its driver, or its driver to it,
// the model does itself, and no host end's offloads are used.
package nic
