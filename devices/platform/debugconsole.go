package platform

import (
	"context"
	"io"
	"log/slog"
	"sync"
)

// DebugConsolePort is where SeaBIOS and OVMF write their debug messages.
const DebugConsolePort = 0x402

const (
	// debugConsolePresent is what firmware looks for.
	debugConsolePresent = 0xE9
	// debugLine is the longest line in the log, in bytes. A longer one is cut
	// into several.
	debugLine = 256
	// debugLines is how many lines a guest may put into the log between two
	// resets. Firmware writes a few thousand at its chattiest.
	debugLines = 20000
)

// DebugConsoleOptions say where what the guest writes goes.
type DebugConsoleOptions struct {
	// Log takes the lines, at debug level. Nil discards them.
	Log *slog.Logger
	// Output takes every byte as it comes, on the thread of the vCPU, so it
	// must not wait for long: a file, or something with a buffer. Its errors
	// are ignored. Nil is none.
	Output io.Writer
}

// DebugConsole is the debug console port of Bochs and QEMU, a bus.Handler for
// one port.
type DebugConsole struct {
	log    *slog.Logger
	output io.Writer

	mu    sync.Mutex
	line  [debugLine]byte
	n     int // bytes in line
	lines int // that were logged
}

// NewDebugConsole returns a debug console.
func NewDebugConsole(o DebugConsoleOptions) *DebugConsole {
	d := &DebugConsole{log: o.Log, output: o.Output}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	return d
}

// Reset implements bus.Resetter: it logs the line that was begun.
func (d *DebugConsole) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n > 0 {
		d.flush()
	}
	d.lines = 0
}

// Read tells firmware that the port is there.
func (*DebugConsole) Read(_ uint64, data []byte) {
	for i := range data {
		data[i] = debugConsolePresent
	}
}

// Write takes text.
func (d *DebugConsole) Write(_ uint64, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.output != nil {
		_, _ = d.output.Write(data)
	}
	for _, v := range data {
		switch {
		case v == '\n':
			d.flush()
			continue
		case v == '\r':
			continue
		case d.n == len(d.line):
			d.flush()
		}
		d.line[d.n] = v
		d.n++
	}
}

// flush logs the line.
func (d *DebugConsole) flush() {
	text := d.line[:d.n]
	d.n = 0
	if d.lines == debugLines || !d.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	d.lines++
	d.log.Debug("debug console", "line", string(text))
	if d.lines == debugLines {
		d.log.Debug("debug console: no more lines until the next reset", "lines", debugLines)
	}
}
