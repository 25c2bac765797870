// Package qmp lets other programs control a running machine in the words of the
// QEMU Machine Protocol, so that clients written for QEMU work unchanged.
//
// A Server speaks to any number of clients. It greets each of them, negotiates
// capabilities (there are none: no out-of-band execution), answers commands one
// after the other and reports events. Client is the other end.
//
// From the specification (QEMU's docs/interop/qmp-spec.rst) come the form of
// messages, the classes of errors and the rule for names of extensions; from the
// reference manual (qapi/*.json) commands, events, and the names and units of
// their members. query-commands lists what there is. These are extensions, named by
// the rule:
//
//	__com.github.govmm_screen-text    the screen in a text mode: {"text": "..."}
//	__com.github.govmm_dumpxml        the domain as it runs: {"xml": "<domain ..."}
//	__com.github.govmm_dump-cancel    ends the dump that is being written
//	__com.github.govmm_query-memstats how the guest uses its memory
//	__com.github.govmm_query-netstats what network interfaces have moved
//	__com.github.govmm_resize-console the size of a virtio console in characters
//	__com.github.govmm_reboot         system_powerdown, then a reset in place of the end
//	__com.github.govmm_elf-zstd       a format of dump-guest-memory
//
// Left out is human-monitor-command, whose words are QEMU's own. A node of blockdev-add
// is a name for an image, which is opened when it is put into a drive. JSON strings in single quotes, which QEMU takes as well, are
// malformed here. A name of a disk is its target in the domain XML (vda, hdc),
// in "device", "id" and "qdev" alike.
//
// A client can do no more to the machine than the commands say. What it sends is
// bounded in size, depth and number; what it does not read is bounded as well,
// and a client that lets more than that pile up is cut off. Nothing that a client
// does or does not do makes the machine wait.
package qmp
