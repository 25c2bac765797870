// Package nbd is a client of network block devices: a [block.Layer] whose bytes
// are those of an export of a server, such as nbd-server, qemu-nbd or nbdkit.
//
// It follows the protocol document of the NBD project (doc/proto.md): the fixed
// newstyle negotiation, over TCP or a unix socket, with TLS if asked; choosing
// the export with NBD_OPT_GO, or with NBD_OPT_EXPORT_NAME on servers that lack
// the former; structured replies; the metadata context base:allocation, from
// which [Client.Map] answers; and the commands READ, WRITE, FLUSH, TRIM,
// WRITE_ZEROES and BLOCK_STATUS, as far as the server has them.
//
// # Requests
//
// Up to [MaxInFlight] requests share one connection, and are answered in any
// order. The kernel sends from the caller's memory and receives into it; only
// what arrives together with a reply's header is copied. In steady state a
// request allocates nothing, except with TLS, where the encryption does.
//
// # A lost connection
//
// When the connection breaks, a new one is made, with pauses that double from
// 100 ms to 5 s, for as long as the client is open. Requests wait for it, also
// those that had been sent, which are sent again. A request fails with EIO when
// [Options].Patience has passed since the connection was lost, and any later one
// then fails at once until there is a connection again. A server that says
// nothing for [Options].Silence while it owes a reply counts as lost.
//
// What was written and not flushed survives the end of a server's process, not
// that of its host: as with any disk that has a write cache.
//
// # Trust
//
// The server is not trusted: lengths, handles and ranges of its replies are
// checked against the request, nothing is allocated by a length that it names,
// and a server that breaks the protocol loses its connection. What it returns as
// data is, of course, what the guest reads.
//
// # Left out
//
// The oldstyle negotiation, which is refused by name; extended headers (64-bit
// lengths); RESIZE and CACHE; and several connections to one export.
package nbd
