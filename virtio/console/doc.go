// Package console is the virtio console device, also known as virtio-serial
// (Virtual I/O Device specification 1.3, section 5.3): up to 32 ports, each of
// them a pipe between the guest and a chardev.Backend. Port 0 is the console
// of drivers that know of one port only.
//
// # Output
//
// What the guest sends goes to the back end straight from guest memory. A
// buffer of which the back end has not taken everything stays with the device
// until that has room again; the driver then waits, and nothing is lost. That
// holds for consoles, too. A driver may spin while it waits for its console, as
// Linux does with its interrupts off, so a back end of a console had better not
// wait for ever: see chardev.PtyOptions.Patience.
//
// # Input
//
// A port takes from its back end what the guest's buffers have room for. The
// rest waits in the back end, and its sender with it, until the driver adds
// buffers. Input is also held back until a program in the guest, or for a
// console its driver, has opened the port, and again when the port is closed.
// A driver without VIRTIO_CONSOLE_F_MULTIPORT has its one port always open.
//
// # Connection
//
// The guest sees whether somebody is at the host's end of a port: PORT_OPEN
// follows the back end's carrier, where a connection that was broken and made
// again shows as closed and opened. The host's end of a console is always open.
//
// # Size
//
// The RESIZE message has the columns first, as the specification says. Linux
// expected the rows first until 6.15, and its releases since then do not agree:
// where it still does, the two are exchanged in the guest. The configuration
// space, which a driver without VIRTIO_CONSOLE_F_MULTIPORT reads, is not
// affected.
//
// Left out: VIRTIO_F_RING_RESET, big-endian legacy drivers.
package console
