package nbd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func be(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		if s, ok := p.(string); ok {
			b.WriteString(s)
			continue
		}
		_ = binary.Write(&b, binary.BigEndian, p)
	}
	return b.Bytes()
}

func optionReply(option, kind uint32, data []byte) []byte {
	return append(be(uint64(magicReply), option, kind, uint32(len(data))), data...)
}

var greeting = be(uint64(magicServer), uint64(magicOption), uint16(3))

// serve answers each of the client's connections: with what script says to
// what the client sends, then by closing.
func serveScript(t *testing.T, script func(wire net.Conn)) Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			wire, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer wire.Close()
				script(wire)
			}()
		}
	}()
	return Options{Network: "unix", Address: path, Export: "e", Patience: 500 * time.Millisecond, Silence: 200 * time.Millisecond}
}

// TestHostileNegotiation has servers that say what they must not.
func TestHostileNegotiation(t *testing.T) {
	info := func(b []byte) []byte { return optionReply(optGo, repInfo, b) }
	export := info(be(uint16(infoExport), uint64(1<<20), uint16(flagHasFlags)))
	noStructured := optionReply(optStructuredReply, repUnsupported, nil)
	for name, tt := range map[string]struct {
		words []byte
		want  string
	}{
		"nothing":         {nil, "without a word"},
		"http":            {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak NBD"},
		"oldstyle":        {be(uint64(magicServer), uint64(magicOldstyle), uint64(1<<20), uint32(1), make([]byte, 124)), "oldstyle"},
		"unfixed":         {be(uint64(magicServer), uint64(magicOption), uint16(0)), "before it was fixed"},
		"cut":             {greeting[:17], "unexpected EOF"},
		"huge reply":      {append(greeting[:18:18], be(uint64(magicReply), uint32(optStructuredReply), uint32(repAck), uint32(0xffffffff))...), "reply of 4294967295 bytes"},
		"another option":  {append(greeting[:18:18], optionReply(99, repAck, nil)...), "not a reply"},
		"endless replies": {append(append(greeting[:18:18], noStructured...), bytes.Repeat(export, 1000)...), "too many replies"},
		"no size":         {append(append(greeting[:18:18], noStructured...), optionReply(optGo, repAck, nil)...), "no size"},
		"negative size":   {append(append(greeting[:18:18], noStructured...), info(be(uint16(infoExport), uint64(1<<63), uint16(1)))...), "an export of"},
		"odd block size":  {append(append(greeting[:18:18], noStructured...), info(be(uint16(infoBlockSize), uint32(3), uint32(4096), uint32(1<<20)))...), "block sizes"},
		"no export":       {append(append(greeting[:18:18], noStructured...), optionReply(optGo, repUnknown, []byte("\x1b[31mbad"))...), `\x1b[31mbad`},
		"wants TLS":       {append(greeting[:18:18], optionReply(optStructuredReply, repTLSRequired, nil)...), "wants TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			o := serveScript(t, func(wire net.Conn) {
				if _, err := wire.Write(tt.words); err == nil {
					_ = wire.(*net.UnixConn).CloseWrite()
					_, _ = io.Copy(io.Discard, wire)
				}
			})
			if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestHostileReplies has servers that break the protocol on every connection,
// say nothing, or do not end. No request waits longer than it may.
func TestHostileReplies(t *testing.T) {
	chunk := func(flags, kind uint16, cookie uint64, data []byte) []byte {
		return append(be(uint32(magicStructured), flags, kind, cookie, uint32(len(data))), data...)
	}
	for name, answer := range map[string]func(cookie uint64) []byte{
		"silence":          func(uint64) []byte { return nil },
		"no reply":         func(uint64) []byte { return []byte("what was the question?") },
		"another cookie":   func(c uint64) []byte { return chunk(1, chunkNone, c^MaxInFlight, nil) },
		"simple reply":     func(c uint64) []byte { return be(uint32(magicSimple), uint32(0), c) },
		"too little":       func(c uint64) []byte { return chunk(1, chunkOffsetData, c, be(uint64(4096), uint32(0))) },
		"before the range": func(c uint64) []byte { return chunk(1, chunkOffsetData, c, be(uint64(4095), uint32(0))) },
		"beyond the range": func(c uint64) []byte { return chunk(1, chunkOffsetHole, c, be(uint64(4096), uint32(513))) },
		"negative offset":  func(c uint64) []byte { return chunk(1, chunkOffsetHole, c, be(uint64(1<<63), uint32(512))) },
		"huge chunk":       func(c uint64) []byte { return be(uint32(magicStructured), uint16(1), uint16(1), c, uint32(0xffffffff)) },
		"twice": func(c uint64) []byte {
			return bytes.Repeat(chunk(0, chunkOffsetHole, c, be(uint64(4096), uint32(512))), 2)
		},
		"endless errors":      func(c uint64) []byte { return bytes.Repeat(chunk(0, chunkError, c, be(uint32(5), uint16(0))), 1000) },
		"long message":        func(c uint64) []byte { return chunk(1, chunkError, c, be(uint32(5), uint16(100), "short")) },
		"status":              func(c uint64) []byte { return chunk(1, chunkBlockStatus, c, be(uint32(1), uint32(1), uint32(0))) },
		"another kind":        func(c uint64) []byte { return chunk(1, 77, c, nil) },
		"nothing, and no end": func(c uint64) []byte { return chunk(0, chunkNone, c, nil) },
		"shutting down":       func(c uint64) []byte { return chunk(1, chunkError, c, be(uint32(108), uint16(0))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serveScript(t, func(wire net.Conn) { fakeServer(wire, answer) })
			c, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.ReadVec([][]byte{make([]byte, 512)}, 4096); !errors.Is(err, unix.EIO) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// fakeServer negotiates as it should, and then answers each request.
func fakeServer(wire net.Conn, answer func(cookie uint64) []byte) {
	_, _ = wire.Write(greeting)
	_, _ = io.CopyN(io.Discard, wire, 4)
	for option := uint32(0); option != optGo; {
		var h [16]byte
		if _, err := io.ReadFull(wire, h[:]); err != nil {
			return
		}
		option = binary.BigEndian.Uint32(h[8:])
		_, _ = io.CopyN(io.Discard, wire, int64(binary.BigEndian.Uint32(h[12:])))
		switch option {
		case optGo:
			_, _ = wire.Write(optionReply(option, repInfo, be(uint16(infoExport), uint64(1<<20), uint16(flagHasFlags|flagSendFlush))))
		case optSetMetaContext:
			_, _ = wire.Write(optionReply(option, repMetaContext, be(uint32(7), contextAllocation)))
		}
		_, _ = wire.Write(optionReply(option, repAck, nil))
	}
	for {
		var h [requestHeader]byte
		if _, err := io.ReadFull(wire, h[:]); err != nil {
			return
		}
		if _, err := wire.Write(answer(binary.BigEndian.Uint64(h[8:]))); err != nil {
			return
		}
	}
}

// TestServerErrors hands on the server's error, with its words, and goes on.
func TestServerErrors(t *testing.T) {
	first := true
	o := serveScript(t, func(wire net.Conn) {
		fakeServer(wire, func(cookie uint64) []byte {
			data := be(uint32(28), uint16(9), "disk full")
			if !first {
				data = be(uint32(12345), uint16(0))
			}
			first = false
			return append(be(uint32(magicStructured), uint16(1), uint16(chunkError), cookie, uint32(len(data))), data...)
		})
	})
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.ReadVec([][]byte{make([]byte, 512)}, 0); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("first read: %v", err)
	}
	if err := c.ReadVec([][]byte{make([]byte, 512)}, 0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("second read: %v", err)
	}
}

// FuzzReply feeds replies to a connection with a read, a write, a flush and a
// block status under way. Each ends at most once, and nothing is written beside
// the memory of the read.
func FuzzReply(f *testing.F) {
	data := func(cookie uint64) []byte {
		return be(uint32(magicStructured), uint16(1), uint16(chunkOffsetData), cookie, uint32(8+100), uint64(1000), make([]byte, 100))
	}
	f.Add(true, data(64))
	f.Add(true, be(uint32(magicStructured), uint16(0), uint16(chunkOffsetHole), uint64(64), uint32(12), uint64(1050), uint32(50)))
	f.Add(true, be(uint32(magicStructured), uint16(1), uint16(chunkBlockStatus), uint64(259), uint32(12), uint32(7), uint32(512), uint32(3)))
	f.Add(true, be(uint32(magicStructured), uint16(1), uint16(chunkErrorOffset), uint64(64), uint32(17), uint32(5), uint16(3), "bad", uint64(1000)))
	f.Add(false, be(uint32(magicSimple), uint32(0), uint64(64), make([]byte, 100)))
	f.Add(false, be(uint32(magicSimple), uint32(5), uint64(129)))
	f.Fuzz(func(t *testing.T, structured bool, replies []byte) {
		c := &conn{export: export{structured: structured, allocation: true, context: 7}}
		c.in.init(bytes.NewReader(replies))
		c.free = []int{3, 2, 1, 0}
		memory := bytes.Repeat([]byte{0xaa}, 300)
		calls := []*call{newCall(), newCall(), newCall(), newCall()}
		calls[0].begin(cmdRead, 0, 1000, 100)
		calls[0].vec = [][]byte{memory[50:80], nil, memory[150:220]}
		calls[1].begin(cmdWrite, 0, 0, 100)
		calls[1].vec = [][]byte{memory[:50], memory[250:]}
		calls[2].begin(cmdFlush, 0, 0, 0)
		calls[3].begin(cmdBlockStatus, 0, 0, 4096)
		for _, k := range calls {
			c.register(k)
		}
		for c.receive() == nil {
		}
		for i, b := range memory {
			if b != 0xaa && (i < 50 || i >= 80 && i < 150 || i >= 220) {
				t.Fatalf("byte %d is changed", i)
			}
		}
		for i, k := range calls {
			select {
			case err := <-k.done:
				if err != nil {
					t.Errorf("call %d: %v", i, err)
				}
			default:
			}
			if len(k.done) != 0 {
				t.Errorf("call %d ended twice", i)
			}
		}
	})
}

// FuzzNegotiate has a server say anything at all.
func FuzzNegotiate(f *testing.F) {
	f.Add(greeting)
	f.Add(append(append(greeting[:18:18], optionReply(optStructuredReply, repAck, nil)...), optionReply(optSetMetaContext, repMetaContext, be(uint32(7), contextAllocation))...))
	f.Add(append(append(greeting[:18:18], optionReply(optStructuredReply, repUnsupported, nil)...), optionReply(optGo, repInfo, be(uint16(infoBlockSize), uint32(512), uint32(4096), uint32(1<<20)))...))
	f.Fuzz(func(t *testing.T, words []byte) {
		n := negotiator{wire: &deafConn{Reader: bytes.NewReader(words)}, options: &Options{Export: "e"}}
		if n.run() != nil {
			return
		}
		if e := n.export; e.size < 0 || e.minimum < 1 || e.payload < e.minimum || e.size%e.minimum != 0 {
			t.Errorf("export %+v", e)
		}
	})
}

// deafConn says what it has to say whatever it is told.
type deafConn struct {
	net.Conn
	*bytes.Reader
}

func (d *deafConn) Read(p []byte) (int, error)  { return d.Reader.Read(p) }
func (d *deafConn) Write(p []byte) (int, error) { return len(p), nil }
