package domcfg

import (
	"math/bits"
	"strconv"
	"time"
)

// Graphics is an element graphics: a way to see the guest's display. Which fields count depends on
// Type.
type Graphics struct {
	DeviceInfo
	Type string // sdl, vnc, spice, rdp or desktop; newer: dbus, egl-headless

	Display    string // sdl, desktop
	XAuth      string // sdl
	Fullscreen YesNo  // sdl, desktop

	Port          int // TCP; -1 for "any free one", 0 for not given
	TLSPort       int // spice
	AutoPort      YesNo
	Listen        string // IP address
	Socket        string // vnc: path that replaces listen and port
	Password      string
	PasswordUntil string // when the password ends, UTC, 2006-01-02T15:04:05
	Keymap        string

	ReplaceUser YesNo // rdp
	MultiUser   YesNo // rdp

	Channels []*SpiceChannel // spice
	Image    string          // spice: compression
	JPEG     string
	Zlib     string
	Playback string

	Listens []*GraphicsListen // newer than the document
}

// SpiceChannel is an element channel within a spice graphics.
type SpiceChannel struct {
	Elem
	Name string
	Mode string // secure or insecure; newer: any
}

// GraphicsListen is an element listen within graphics. Newer files write it beside the attribute.
type GraphicsListen struct {
	Elem
	Type    string // address, network, socket or none
	Address string
	Network string
	Socket  string
}

// passwordTime is the form of passwdValidTo.
const passwordTime = "2006-01-02T15:04:05"

// PasswordEnd returns when the password ends, and whether there is an end to it.
func (g *Graphics) PasswordEnd() (time.Time, bool) {
	t, err := time.Parse(passwordTime, g.PasswordUntil)
	return t, err == nil
}

func (g *Graphics) code(c *coder) {
	enum(c.attr("type").required(), &g.Type, "sdl", "vnc", "spice", "rdp", "desktop", "dbus", "egl-headless")
	codePort(c.attr("port"), &g.Port)
	codePort(c.attr("tlsPort"), &g.TLSPort)
	c.attr("autoport").yesNo(&g.AutoPort)
	c.attr("listen").str(&g.Listen)
	c.attr("socket").str(&g.Socket)
	c.attr("passwd").str(&g.Password)
	codePasswordTime(c.attr("passwdValidTo"), &g.PasswordUntil)
	c.attr("keymap").str(&g.Keymap)
	c.attr("display").str(&g.Display)
	c.attr("xauth").str(&g.XAuth)
	c.attr("fullscreen").yesNo(&g.Fullscreen)
	c.attr("replaceUser").yesNo(&g.ReplaceUser)
	c.attr("multiUser").yesNo(&g.MultiUser)
	children(c, "channel", &g.Channels)
	compression := func(name string, v *string, words ...string) {
		c.group(name, func(c *coder) { enum(c.attr("compression").required(), v, words...) })
	}
	compression("image", &g.Image, "auto_glz", "auto_lz", "quic", "glz", "lz", "off")
	compression("jpeg", &g.JPEG, "auto", "never", "always")
	compression("zlib", &g.Zlib, "auto", "never", "always")
	compression("playback", &g.Playback, "on", "off")
	children(c, "listen", &g.Listens)
	g.codeInfo(c)
}

func codePort(s slot, v *int) {
	if !s.c.reading {
		if *v != 0 {
			s.put(strconv.Itoa(*v))
		}
		return
	}
	if !s.given {
		return
	}
	n, err := strconv.Atoi(s.value)
	if err != nil || n < -1 || n > 65535 {
		s.errorf("is not a TCP port from 1 to 65535, or -1 for any free one")
		return
	}
	*v = n
}

func codePasswordTime(s slot, v *string) {
	if s.given {
		if _, err := time.Parse(passwordTime, s.value); err != nil {
			s.errorf("is not a time in UTC such as 2010-04-09T15:51:00")
			return
		}
	}
	s.str(v)
}

func (h *SpiceChannel) code(c *coder) {
	enum(c.attr("name").required(), &h.Name, "main", "display", "inputs", "cursor", "playback", "record",
		"smartcard", "usbredir", "webdav")
	enum(c.attr("mode").required(), &h.Mode, "secure", "insecure", "any")
}

func (l *GraphicsListen) code(c *coder) {
	enum(c.attr("type").required(), &l.Type, "address", "network", "socket", "none")
	c.attr("address").str(&l.Address)
	c.attr("network").str(&l.Network)
	c.attr("socket").str(&l.Socket)
}

// Video is an element video: a graphics card.
type Video struct {
	DeviceInfo
	Model VideoModel
}

// VideoModel is the element model within video.
type VideoModel struct {
	Type    string // vga, cirrus, vmvga, xen, vbox or qxl; newer: virtio, bochs, none and others
	VRAM    KiB    // 0 for the model's own, which SetDefaults fills in
	Heads   uint   // screens; 0 for 1
	Accel3D YesNo
	Accel2D YesNo
}

// VRAMBytes returns the size of the video memory in bytes, rounded up to a power of 2 as a PCI region
// needs it. It is 0 for the model's own size.
func (m VideoModel) VRAMBytes() uint64 {
	n := min(m.VRAM, maxKiB).Bytes()
	if n&(n-1) == 0 {
		return n
	}
	return 1 << bits.Len64(n)
}

func (v *Video) code(c *coder) {
	if c.reading && c.n.child("model") == nil {
		c.errorf(c.n.pos(), c.n.path(), "element <model> is missing")
	}
	m := &v.Model
	c.group("model", func(c *coder) {
		enum(c.attr("type").required(), &m.Type, "vga", "cirrus", "vmvga", "xen", "vbox", "qxl",
			"virtio", "bochs", "ramfb", "gop", "none", "parallels")
		number(c.attr("vram"), &m.VRAM, 0, maxKiB)
		number(c.attr("heads"), &m.Heads, 1, 1<<31-1)
		c.group("acceleration", func(c *coder) {
			c.attr("accel3d").yesNo(&m.Accel3D)
			c.attr("accel2d").yesNo(&m.Accel2D)
		})
	})
	v.codeInfo(c)
}
