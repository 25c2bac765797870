package nbd

import "golang.org/x/sys/unix"

// Everything in the protocol is big-endian.

// Numbers of the negotiation.
const (
	magicServer   = 0x4e42444d41474943 // NBDMAGIC
	magicOption   = 0x49484156454f5054 // IHAVEOPT
	magicOldstyle = 0x00420281861253
	magicReply    = 0x0003e889045565a9

	handshakeFixedNewstyle = 1 << 0
	handshakeNoZeroes      = 1 << 1

	optExportName      = 1
	optAbort           = 2
	optStartTLS        = 5
	optGo              = 7
	optStructuredReply = 8
	optSetMetaContext  = 10

	repAck         = 1
	repInfo        = 3
	repMetaContext = 4

	repError        = 1 << 31
	repUnsupported  = repError + 1
	repPolicy       = repError + 2
	repInvalid      = repError + 3
	repPlatform     = repError + 4
	repTLSRequired  = repError + 5
	repUnknown      = repError + 6
	repShutdown     = repError + 7
	repSizeRequired = repError + 8
	repTooBig       = repError + 9

	infoExport    = 0
	infoBlockSize = 3
)

// Transmission flags, of an export.
const (
	flagHasFlags        = 1 << 0
	flagReadOnly        = 1 << 1
	flagSendFlush       = 1 << 2
	flagSendFUA         = 1 << 3
	flagSendTrim        = 1 << 5
	flagSendWriteZeroes = 1 << 6
)

// Numbers of the transmission phase.
//
//	request           magic:32 flags:16 type:16 cookie:64 offset:64 length:32
//	simple reply      magic:32 error:32 cookie:64, then the data of a READ
//	structured chunk  magic:32 flags:16 type:16 cookie:64 length:32, then length bytes
const (
	magicRequest    = 0x25609513
	magicSimple     = 0x67446698
	magicStructured = 0x668e33ef

	requestHeader    = 28
	simpleHeader     = 16
	structuredHeader = 20

	cmdRead        = 0
	cmdWrite       = 1
	cmdDisconnect  = 2
	cmdFlush       = 3
	cmdTrim        = 4
	cmdWriteZeroes = 6
	cmdBlockStatus = 7

	cmdFlagFUA    = 1 << 0
	cmdFlagNoHole = 1 << 1
	cmdFlagReqOne = 1 << 3

	chunkFlagDone = 1 << 0

	chunkNone        = 0
	chunkOffsetData  = 1
	chunkOffsetHole  = 2
	chunkBlockStatus = 5
	chunkError       = 1<<15 + 1
	chunkErrorOffset = 1<<15 + 2
	chunkIsError     = 1 << 15

	// Of the context base:allocation.
	stateHole = 1 << 0
	stateZero = 1 << 1
)

const contextAllocation = "base:allocation"

// errorNumbers are the error numbers of replies, which are those of Linux but
// the same on all hosts. Others count as EINVAL, by the document.
var errorNumbers = [...]unix.Errno{
	1: unix.EPERM, 5: unix.EIO, 12: unix.ENOMEM, 22: unix.EINVAL, 28: unix.ENOSPC,
	75: unix.EOVERFLOW, 95: unix.ENOTSUP, 108: unix.ESHUTDOWN,
}

func errorNumber(n uint32) unix.Errno {
	if n < uint32(len(errorNumbers)) && errorNumbers[n] != 0 {
		return errorNumbers[n]
	}
	return unix.EINVAL
}

// commandNames are for messages.
var commandNames = [...]string{
	cmdRead: "read", cmdWrite: "write", cmdFlush: "flush", cmdTrim: "discard",
	cmdWriteZeroes: "write zeroes", cmdBlockStatus: "block status",
}
