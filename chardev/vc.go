package chardev

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/govmm/govmm/chardev/vt"
)

// The size of a virtual console in characters, as QEMU's.
const (
	vcColumns = 80
	vcRows    = 24
)

// viewTime is how long a viewer of a virtual console may take nothing before it
// is let go.
const viewTime = 5 * time.Second

// VCOptions are the options of OpenVC.
type VCOptions struct {
	Options

	// Path is that of a unix socket by which the screen can be watched and typed
	// at; "" is none, and there is no input.
	Path string
}

// VC is a virtual console (type='vc'): a text screen of 80 by 24 characters that
// goes on showing what the guest sends, whether or not somebody watches. The
// connection is always up.
//
// Who connects to its socket finds the screen as it is, gets what comes after, and
// is the keyboard. As with a [Socket], there is one such client at a time.
type VC struct {
	linked
	listener *listener // nil without a path

	mu     sync.Mutex // held while the screen changes and while a viewer is sent that
	screen *vt.Screen
	viewer link // nil without
}

// OpenVC fails when the socket cannot be made.
func OpenVC(opts VCOptions) (*VC, error) {
	v := &VC{screen: vt.New(vcColumns, vcRows)}
	v.sink = vcSink{v}
	release := func() error { return nil }
	v.next = func(ctx context.Context) link { <-ctx.Done(); return nil }
	if opts.Path != "" {
		if err := checkSocketPath(opts.Path); err != nil {
			return nil, fmt.Errorf("%s: %w", opts.Name, err)
		}
		l, err := listen("unix", opts.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", opts.Name, err)
		}
		v.listener, release = l, l.close
		v.next = v.nextViewer
	}
	v.start(opts.Options, Endless, opts.Path, release)
	return v, nil
}

// Text is what the screen shows, line by line.
func (v *VC) Text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.screen.String()
}

// nextViewer waits for a viewer, and shows it the screen.
func (v *VC) nextViewer(ctx context.Context) link {
	v.watch(nil)
	c := accept(ctx, v.listener, &v.port, plainLink)
	if c != nil {
		v.watch(c)
	}
	return c
}

// watch makes c the viewer.
func (v *VC) watch(c link) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.viewer = c; c != nil {
		v.tell(v.screen.Redraw(nil))
	}
}

// tell sends the viewer, if there is one, all of p; mu is held. One that does not
// read is let go.
func (v *VC) tell(p []byte) {
	patience := viewTime
	if v.stopped() {
		patience = goodbyeTime
	}
	if v.viewer == nil || v.viewer.SetWriteDeadline(time.Now().Add(patience)) != nil {
		return
	}
	for len(p) > 0 {
		n, err := v.viewer.Write(p)
		if err != nil {
			_ = v.viewer.SetReadDeadline(past()) // its reader ends it
			v.viewer = nil
			return
		}
		p = p[n:]
	}
}

// vcSink is the output.
type vcSink struct{ v *VC }

func (s vcSink) Write(p []byte) (int, error) {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	_, _ = s.v.screen.Write(p) // never fails
	s.v.tell(p)
	return len(p), nil
}

// interrupt ends a write to the viewer, which is the only one that can block.
func (s vcSink) interrupt() bool {
	c := s.v.connection()
	return c == nil || c.SetWriteDeadline(past()) == nil
}
