// Package integration runs stock kernels on govmm, as its users do: through
// the command with domain files, and a little through the library. Debian's
// cloud and generic kernels boot to their init, restart in every way a PC
// knows, crash, are paused and reset, and talk on every kind of console. Their
// virtio drivers move data that both ends check, and lose none of it when the
// host is full or govmm is killed. What a guest's kernel complains about is
// compared with the same kernel under QEMU.
//
// On a host whose KVM runs stock kernels the tests run in place; on any other
// the test binary runs itself again inside one test host
// (tests/testhost/host), and its output and exit code are those of the run in
// there. What guests boot is built before, outside. Files that test flags ask
// for, such as profiles, stay inside and are lost.
//
// Nothing here depends on how fast the host is: a test waits for what it
// wants to see, and fails after waitTime.
package integration
