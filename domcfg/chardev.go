package domcfg

// CharType is what a character device is on the host.
type CharType string

// The values of CharType.
const (
	CharNull     CharType = "null"
	CharStdio    CharType = "stdio" // the standard input and output of the program, one device at most
	CharFile     CharType = "file"  // output only
	CharVC       CharType = "vc"    // a text console on the display
	CharPTY      CharType = "pty"
	CharDev      CharType = "dev"
	CharPipe     CharType = "pipe"
	CharTCP      CharType = "tcp"
	CharUDP      CharType = "udp"
	CharUnix     CharType = "unix"
	CharSpiceVMC CharType = "spicevmc"
)

// The ways in which a source meets its peer.
const (
	ModeConnect = "connect"
	ModeBind    = "bind"
)

// CharBackend is the host end of a character device.
type CharBackend struct {
	Type     CharType
	Sources  []*CharSource // more than one only for udp
	Protocol string        // tcp: raw, telnet, telnets or tls
	Log      *CharLog      // newer than the document; nil for none
}

// CharSource is an element source of a character device. Which fields count depends on the type.
type CharSource struct {
	Elem
	Mode    string // connect or bind; tcp, udp and unix
	Path    string // file, dev, pipe and unix; for pty only told to the user
	Host    string // tcp and udp
	Service string // a port's number or name
	Append  OnOff  // file: keep what it holds; newer than the document
}

// SourcePath returns the path of the file, device, pipe or socket.
func (b *CharBackend) SourcePath() string {
	if len(b.Sources) == 0 {
		return ""
	}
	return b.Sources[0].Path
}

// Source returns the source of that mode, nil if there is none. A source without mode connects.
func (b *CharBackend) Source(mode string) *CharSource {
	for _, s := range b.Sources {
		if s.Mode == mode || s.Mode == "" && mode == ModeConnect {
			return s
		}
	}
	return nil
}

func (b *CharBackend) code(c *coder) {
	enum(c.attr("type").required(), &b.Type, CharNull, CharStdio, CharFile, CharVC, CharPTY, CharDev,
		CharPipe, CharTCP, CharUDP, CharUnix, CharSpiceVMC, "spiceport", "nmdm", "qemu-vdagent", "dbus")
	children(c, "source", &b.Sources)
	c.group("protocol", func(c *coder) {
		enum(c.attr("type").required(), &b.Protocol, "raw", "telnet", "telnets", "tls")
	})
	child(c, "log", &b.Log)
}

func (s *CharSource) code(c *coder) {
	enum(c.attr("mode"), &s.Mode, ModeConnect, ModeBind)
	c.attr("path").str(&s.Path)
	c.attr("host").str(&s.Host)
	c.attr("service").str(&s.Service)
	c.attr("append").onOff(&s.Append)
}

// CharLog is an element log of a character device: a file that gets a copy of what the guest sends.
type CharLog struct {
	Elem
	File   string
	Append OnOff // keep what it holds
}

func (l *CharLog) code(c *coder) {
	c.attr("file").required().str(&l.File)
	c.attr("append").onOff(&l.Append)
}

// Serial is an element serial: a 16550A serial port.
type Serial struct {
	DeviceInfo
	CharBackend
	TargetType  string // newer than the document: isa-serial and others
	TargetModel string // newer than the document: isa-serial, 16550a and others
	Port        *uint  // 0 to 3, COM1 to COM4; nil for the next free one
}

func (s *Serial) code(c *coder) {
	s.CharBackend.code(c)
	c.group("target", func(c *coder) {
		enum(c.attr("type"), &s.TargetType, "isa-serial", "usb-serial", "pci-serial", "spapr-vio-serial",
			"system-serial", "sclp-serial", "isa-debug")
		optional(c.attr("port"), &s.Port, 0, 1<<31-1)
		c.group("model", func(c *coder) { c.attr("name").str(&s.TargetModel) })
	})
	s.codeInfo(c)
}

// Parallel is an element parallel: a parallel port.
type Parallel struct {
	DeviceInfo
	CharBackend
	Port *uint // 0 to 2; nil for the next free one
}

func (p *Parallel) code(c *coder) {
	p.CharBackend.code(c)
	c.group("target", func(c *coder) { optional(c.attr("port"), &p.Port, 0, 1<<31-1) })
	p.codeInfo(c)
}

// Console is an element console: another way to name serial port 0, or a virtio console.
type Console struct {
	DeviceInfo
	CharBackend
	TTY        string // told to the user by libvirt; has no effect when it is read
	TargetType string // serial, virtio or xen; empty for serial
	Port       *uint
}

// IsSerial reports whether the console is a serial port.
func (s *Console) IsSerial() bool { return s.TargetType == "" || s.TargetType == "serial" }

func (s *Console) code(c *coder) {
	s.CharBackend.code(c)
	c.attr("tty").str(&s.TTY)
	c.group("target", func(c *coder) {
		enum(c.attr("type"), &s.TargetType, "serial", "virtio", "xen", "uml", "lxc", "openvz", "sclp", "sclplm")
		optional(c.attr("port"), &s.Port, 0, 1<<31-1)
	})
	s.codeInfo(c)
}

// The target types of channels that this version has.
const (
	ChannelVirtio       = "virtio"
	ChannelGuestForward = "guestfwd" // an address in the user network
)

// Channel is an element channel: a private way between host and guest.
type Channel struct {
	DeviceInfo
	CharBackend
	TargetType    string // guestfwd or virtio; newer: xen
	TargetAddress string // guestfwd: IPv4 address
	TargetPort    uint16 // guestfwd: TCP port
	TargetName    string // virtio: the port's name
}

func (s *Channel) code(c *coder) {
	s.CharBackend.code(c)
	if c.reading && c.n.child("target") == nil {
		c.errorf(c.n.pos(), c.n.path(), "element <target> is missing")
	}
	c.group("target", func(c *coder) {
		enum(c.attr("type").required(), &s.TargetType, "guestfwd", "virtio", "xen")
		c.attr("address").str(&s.TargetAddress)
		number(c.attr("port"), &s.TargetPort, 1, 65535)
		c.attr("name").str(&s.TargetName)
	})
	s.codeInfo(c)
}

// noHostEnd is the condition that a type of character devices is none of those that this version has.
func noHostEnd(v string) bool {
	return not("null", "stdio", "file", "vc", "pty", "dev", "pipe", "tcp", "udp", "unix")(v)
}

const noHostEndReason = "this host end is "
