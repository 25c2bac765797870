// Package firmware tests machines that boot through SeaBIOS, from small media of
// our own (tests/bootmedia), on this host's own KVM.
package firmware
