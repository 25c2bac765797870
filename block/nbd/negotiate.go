package nbd

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
	"unicode/utf8"
)

// export is what the negotiation finds out.
type export struct {
	size    int64
	flags   uint16 // transmission flags
	minimum int64  // of the block sizes, bytes, a power of 2; 1 for any alignment
	payload int64  // most bytes of data in one request, a multiple of minimum

	structured bool
	allocation bool   // block status is to be had,
	context    uint32 // under this number
}

// Limits of what a server may say.
const (
	negotiationTime = 10 * time.Second
	maxReplyLength  = 64 << 10
	maxReplies      = 64 // to one option

	maxMinimum     = 64 << 10 // of block sizes, by the document
	defaultPayload = 32 << 20 // what the document calls portable
)

var (
	errOldstyle = errors.New("the server speaks the oldstyle protocol, which is not supported: nbd-server before 3.10 needs a named export")
	errNotNBD   = errors.New("the server does not speak NBD")
)

// optionError is a server's refusal of an option.
type optionError struct {
	code    uint32
	message string
}

func (e *optionError) Error() string {
	text := e.text()
	if e.message != "" {
		text += " (" + e.message + ")"
	}
	return text
}

func (e *optionError) text() string {
	switch e.code {
	case repUnsupported:
		return "not supported"
	case repPolicy:
		return "forbidden by the server"
	case repInvalid:
		return "invalid"
	case repPlatform:
		return "not supported on the server's platform"
	case repTLSRequired:
		return "the server wants TLS"
	case repUnknown:
		return "no such export"
	case repShutdown:
		return "the server is shutting down"
	case repSizeRequired:
		return "the server wants its block sizes kept"
	case repTooBig:
		return "too big"
	}
	return "error " + strconv.FormatUint(uint64(e.code&^repError), 10)
}

// refused reports whether err is one of a server's refusals.
func refused(err error, codes ...uint32) bool {
	var e *optionError
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.code == c {
			return true
		}
	}
	return len(codes) == 0
}

// connect makes a connection and negotiates.
func connect(ctx context.Context, o *Options) (net.Conn, export, error) {
	dialer := net.Dialer{Timeout: negotiationTime, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4,
	}}
	wire, err := dialer.DialContext(ctx, o.Network, o.Address)
	if err != nil {
		return nil, export{}, err
	}
	stop := context.AfterFunc(ctx, func() { wire.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err = wire.SetDeadline(time.Now().Add(negotiationTime))
	n := negotiator{wire: wire, options: o}
	if err == nil {
		err = n.run()
	}
	if err == nil && stop() {
		err = wire.SetDeadline(time.Time{})
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, export{}, errors.Join(err, wire.Close())
	}
	return n.wire, n.export, nil
}

// negotiator carries out the negotiation on a new connection.
type negotiator struct {
	wire     net.Conn // inside of TLS, once that has begun
	options  *Options
	export   export
	noZeroes bool
	buffer   []byte
}

func (n *negotiator) run() error {
	if err := n.greet(); err != nil {
		return err
	}
	if n.options.TLS != nil {
		if err := n.startTLS(); err != nil {
			return err
		}
	}
	n.export = export{minimum: 1, payload: defaultPayload}
	switch err := n.option(optStructuredReply, nil, nil); {
	case err == nil:
		n.export.structured = true
	case refused(err, repTLSRequired):
		return errors.New("the server wants TLS, which the disk's source does not ask for")
	case !refused(err):
		return err
	}
	if n.export.structured {
		if err := n.setContext(); err != nil {
			return err
		}
	}
	switch err := n.goOption(); {
	case err == nil:
	case refused(err, repUnsupported):
		n.export.allocation = false // the choice belongs to NBD_OPT_GO
		if err := n.exportName(); err != nil {
			return err
		}
	case refused(err, repUnknown):
		return fmt.Errorf("the server has no export %q: %w", n.options.Export, err)
	default:
		return fmt.Errorf("the server does not give export %q: %w", n.options.Export, err)
	}
	return n.checkExport()
}

// greet takes the server's first words and answers.
func (n *negotiator) greet() error {
	var b [18]byte
	if _, err := io.ReadFull(n.wire, b[:16]); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the server has closed the connection without a word")
		}
		return fmt.Errorf("no greeting of a server: %w", err)
	}
	if binary.BigEndian.Uint64(b[:]) != magicServer {
		return errNotNBD
	}
	switch binary.BigEndian.Uint64(b[8:]) {
	case magicOption:
	case magicOldstyle:
		return errOldstyle
	default:
		return errNotNBD
	}
	if _, err := io.ReadFull(n.wire, b[16:]); err != nil {
		return err
	}
	flags := binary.BigEndian.Uint16(b[16:])
	if flags&handshakeFixedNewstyle == 0 {
		return errors.New("the server speaks the newstyle protocol before it was fixed, which is not supported")
	}
	n.noZeroes = flags&handshakeNoZeroes != 0
	return n.send(binary.BigEndian.AppendUint32(nil, uint32(flags)&(handshakeFixedNewstyle|handshakeNoZeroes)))
}

func (n *negotiator) send(b []byte) error {
	_, err := n.wire.Write(b)
	return err
}

func (n *negotiator) sendOption(option uint32, data []byte) error {
	b := binary.BigEndian.AppendUint64(nil, magicOption)
	b = binary.BigEndian.AppendUint32(b, option)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return n.send(append(b, data...))
}

// option sends an option and takes its replies up to the last, which is ACK or
// an error. Those before go to each.
func (n *negotiator) option(option uint32, data []byte, each func(kind uint32, payload []byte) error) error {
	if err := n.sendOption(option, data); err != nil {
		return err
	}
	for range maxReplies {
		kind, payload, err := n.reply(option)
		switch {
		case err != nil:
			return err
		case kind == repAck:
			return nil
		case kind&repError != 0:
			return &optionError{kind, printable(payload)}
		case each == nil:
			return fmt.Errorf("%w: reply %d to option %d", errProtocol, kind, option)
		}
		if err := each(kind, payload); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: too many replies to option %d", errProtocol, option)
}

// reply takes one reply. The payload is valid until the next call.
func (n *negotiator) reply(option uint32) (kind uint32, payload []byte, err error) {
	var b [20]byte
	if _, err := io.ReadFull(n.wire, b[:]); err != nil {
		return 0, nil, fmt.Errorf("the server ends the negotiation: %w", err)
	}
	length := binary.BigEndian.Uint32(b[16:])
	switch {
	case binary.BigEndian.Uint64(b[:]) != magicReply || binary.BigEndian.Uint32(b[8:]) != option:
		return 0, nil, fmt.Errorf("%w: not a reply to option %d", errProtocol, option)
	case length > maxReplyLength:
		return 0, nil, fmt.Errorf("%w: a reply of %d bytes to option %d", errProtocol, length, option)
	}
	if n.buffer == nil {
		n.buffer = make([]byte, maxReplyLength)
	}
	payload = n.buffer[:length]
	_, err = io.ReadFull(n.wire, payload)
	return binary.BigEndian.Uint32(b[12:]), payload, err
}

// startTLS goes on inside of TLS.
func (n *negotiator) startTLS() error {
	if err := n.option(optStartTLS, nil, nil); err != nil {
		if refused(err) {
			return fmt.Errorf("the server has no TLS: %w", err)
		}
		return err
	}
	inner := tls.Client(n.wire, n.options.TLS)
	if err := inner.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	n.wire = inner
	return nil
}

// setContext asks for block status.
func (n *negotiator) setContext() error {
	b := appendString(nil, n.options.Export)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = appendString(b, contextAllocation)
	err := n.option(optSetMetaContext, b, func(kind uint32, p []byte) error {
		if kind == repMetaContext && len(p) > 4 && string(p[4:]) == contextAllocation {
			n.export.allocation, n.export.context = true, binary.BigEndian.Uint32(p)
		}
		return nil
	})
	if refused(err) {
		n.export.allocation = false
		return nil // NBD_OPT_GO will tell, if it is the export's fault
	}
	return err
}

// goOption chooses the export.
func (n *negotiator) goOption() error {
	b := appendString(nil, n.options.Export)
	b = binary.BigEndian.AppendUint16(b, 1)
	b = binary.BigEndian.AppendUint16(b, infoBlockSize)
	known := false
	err := n.option(optGo, b, func(kind uint32, p []byte) error {
		if kind != repInfo || len(p) < 2 {
			return fmt.Errorf("%w: reply %d to NBD_OPT_GO", errProtocol, kind)
		}
		switch info, p := binary.BigEndian.Uint16(p), p[2:]; {
		case info == infoExport && len(p) == 10:
			known = true
			return n.setExport(p)
		case info == infoBlockSize && len(p) == 12:
			return n.setBlockSize(p)
		case info == infoExport || info == infoBlockSize:
			return fmt.Errorf("%w: information %d of %d bytes", errProtocol, info, len(p))
		}
		return nil
	})
	if err == nil && !known {
		return fmt.Errorf("%w: no size of the export", errProtocol)
	}
	return err
}

// exportName is how the export is chosen on a server without NBD_OPT_GO. A
// server that does not have it closes the connection.
func (n *negotiator) exportName() error {
	if err := n.sendOption(optExportName, []byte(n.options.Export)); err != nil {
		return err
	}
	b := make([]byte, 10, 10+124)
	if !n.noZeroes {
		b = b[:cap(b)]
	}
	if _, err := io.ReadFull(n.wire, b); err != nil {
		return fmt.Errorf("the server does not give export %q: %w", n.options.Export, err)
	}
	return n.setExport(b)
}

func (n *negotiator) setExport(p []byte) error {
	size := binary.BigEndian.Uint64(p)
	if size > 1<<62 {
		return fmt.Errorf("%w: an export of %d bytes", errProtocol, size)
	}
	n.export.size, n.export.flags = int64(size), binary.BigEndian.Uint16(p[8:])
	return nil
}

func (n *negotiator) setBlockSize(p []byte) error {
	minimum, payload := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[8:])
	if minimum == 0 || minimum&(minimum-1) != 0 || minimum > maxMinimum || payload < minimum {
		return fmt.Errorf("%w: block sizes of %d to %d bytes", errProtocol, minimum, payload)
	}
	n.export.minimum = int64(minimum)
	n.export.payload = min(int64(payload), defaultPayload) &^ (int64(minimum) - 1)
	return nil
}

// checkExport completes what is known of the export.
func (n *negotiator) checkExport() error {
	e := &n.export
	if e.flags&flagHasFlags == 0 {
		e.flags = 0
	}
	e.size &^= e.minimum - 1 // the rest cannot be reached
	return nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// printable makes a server's text fit for a message.
func printable(p []byte) string {
	const most = 200
	if len(p) > most {
		p = p[:most]
	}
	if len(p) == 0 {
		return ""
	}
	if !utf8.Valid(p) {
		return strconv.QuoteToASCII(string(p))
	}
	quoted := strconv.Quote(string(p))
	return quoted[1 : len(quoted)-1]
}
