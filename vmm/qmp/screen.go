package qmp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/devices/platform"
)

// screendump writes what the screen shows to a file, as this process's user.
func (s *Server) screendump(ctx context.Context, a *arguments) (any, error) {
	file, format := need[string](a, "filename"), optional[string](a, "format")
	device, head := optional[string](a, "device"), optional[uint64](a, "head")
	if a.err == nil {
		switch {
		case format != "" && format != "ppm" && format != "png":
			a.fail("parameter 'format' is '%s', not one of ppm, png", format)
		case device != "" || head != 0:
			a.fail("a machine has one screen, which needs no parameter 'device' or 'head'")
		}
	}
	return do(a, func() error {
		var picture bytes.Buffer
		if err := s.machine.Screenshot(&picture); err != nil {
			return err
		}
		if format != "png" {
			shown, err := png.Decode(&picture)
			if err != nil {
				return err
			}
			if err := writePPM(&picture, shown); err != nil {
				return err
			}
		}
		return writeFile(ctx, file, picture.Bytes())
	})
}

// writePPM writes a picture in the binary form of netpbm's ppm(5).
func writePPM(to io.Writer, m image.Image) error {
	w := bufio.NewWriter(to)
	size := m.Bounds()
	fmt.Fprintf(w, "P6\n%d %d\n255\n", size.Dx(), size.Dy())
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			r, g, b, _ := m.At(x, y).RGBA() // 16 bits each
			w.Write([]byte{byte(r >> 8), byte(g >> 8), byte(b >> 8)})
		}
	}
	return w.Flush() // the first error of all
}

// writeFile makes or overwrites a file. What a screen shows may be a secret. A FIFO
// that nobody reads is an error, and not waited for longer than ctx.
func writeFile(ctx context.Context, name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return err
	}
	// A regular file has no deadlines, and needs none.
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Now()) })
	defer stop()
	_, err = f.Write(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// screenText is an extension: the screen of a text mode, or that of a character
// device of type vc.
func (s *Server) screenText(_ context.Context, a *arguments) (any, error) {
	device := optional[string](a, "device")
	if err := a.done(); err != nil {
		return nil, err
	}
	show := s.machine.ScreenText
	if device != "" {
		show = func() (string, error) { return s.machine.ConsoleText(device) }
	}
	text, err := show()
	if err != nil {
		return nil, err
	}
	return map[string]string{"text": text}, nil
}

// resizeConsole is an extension: it tells the guest how large the terminal is that
// shows a virtio console.
func (s *Server) resizeConsole(ctx context.Context, a *arguments) (any, error) {
	device := need[string](a, "device")
	columns, rows := need[uint16](a, "columns"), need[uint16](a, "rows")
	return do(a, func() error { return s.machine.ResizeConsole(ctx, device, columns, rows) })
}

// A guest that is busy takes keys late. It is given some time.
const (
	keyPatience = 2 * time.Second
	keyRetry    = 20 * time.Millisecond
)

// sendKey presses keys together and lets them go.
func (s *Server) sendKey(ctx context.Context, a *arguments) (any, error) {
	type keyValue struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}
	keys := need[[]keyValue](a, "keys")
	hold := optional[uint64](a, "hold-time")
	var names []string
	for _, k := range keys {
		name, _ := k.Data.(string)
		if _, known := platform.KeyNamed(name); k.Type != "qcode" {
			a.fail("parameter 'keys': a key of type '%s' is not known here, only 'qcode'", k.Type)
		} else if !known {
			a.fail("parameter 'keys': there is no key '%v'; there are ret, spc, f12, minus, kp_enter and so on", k.Data)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		a.fail("parameter 'keys' is empty")
	}
	return do(a, func() error {
		if hold != 0 {
			s.log.Warn("send-key: keys are let go at once, and hold-time has no effect")
		}
		return s.press(ctx, strings.Join(names, "-"))
	})
}

// press tries until the guest takes the keys.
func (s *Server) press(ctx context.Context, combination string) error {
	ctx, cancel := context.WithTimeout(ctx, keyPatience)
	defer cancel()
	for {
		err := s.machine.SendKeys(combination)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(keyRetry):
		}
	}
}
