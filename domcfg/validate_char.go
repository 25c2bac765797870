package domcfg

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path of a unix socket, from Linux' struct sockaddr_un.
const maxSocketPath = 107

// charBackend checks the sources of a character device against its type.
func (v *validator) charBackend(e *Elem, b *CharBackend) {
	switch b.Type {
	case CharFile, CharDev, CharPipe, CharUnix:
		if b.SourcePath() == "" {
			v.fail(e, "source", `type=%q needs a <source> with the attribute path`, string(b.Type))
		}
		if b.Type == CharUnix && len(b.SourcePath()) > maxSocketPath {
			v.fail(e, "source@path", "path is longer than the %d bytes of a unix socket's", maxSocketPath)
		}
		v.absolute(e, "source@path", b.SourcePath())
	case CharTCP:
		if len(b.Sources) == 0 {
			v.fail(e, "", `type="tcp" needs a <source> with host and service`)
		}
	case CharUDP:
		if s := b.Source(ModeConnect); s == nil {
			v.fail(e, "", `type="udp" needs a <source mode="connect"> with a service`)
		}
	}
	if b.Type != CharUDP && len(b.Sources) > 1 {
		v.fail(&b.Sources[1].Elem, "", "type=%q can have only one <source>", string(b.Type))
	}
	if b.Protocol != "" && b.Type != CharTCP {
		v.fail(e, "protocol", `<protocol> is only for type="tcp", not %q`, string(b.Type))
	}
	if b.Log != nil {
		v.absolute(&b.Log.Elem, "@file", b.Log.File)
	}
	v.charSources(b)
}

func (v *validator) charSources(b *CharBackend) {
	modes := make(map[string]bool)
	for _, s := range b.Sources {
		mode := cmp.Or(s.Mode, ModeConnect)
		switch {
		case b.Type == CharUDP && modes[mode]:
			v.fail(&s.Elem, "", `type="udp" can have only one <source> of mode %q`, mode)
		case b.Type == CharTCP && s.Host == "":
			v.fail(&s.Elem, "", "attribute host is missing")
		}
		needed := b.Type == CharTCP || b.Type == CharUDP && mode == ModeConnect
		if needed && s.Service == "" {
			v.fail(&s.Elem, "", "attribute service is missing")
		} else if needed && strings.HasPrefix(s.Service, "-") {
			v.fail(&s.Elem, "@service", "service=%q is not a port's number or name", clip(s.Service))
		}
		modes[mode] = true
	}
}

func (v *validator) serials() {
	serials := newPorts(4)
	for _, s := range v.d.Devices.Serials {
		v.charBackend(&s.Elem, &s.CharBackend)
		if s.TargetType == "" || s.TargetType == "isa-serial" {
			serials.add(v, &s.Elem, s.Port, "serial")
		}
	}
	parallels := newPorts(3)
	for _, p := range v.d.Devices.Parallels {
		v.charBackend(&p.Elem, &p.CharBackend)
		parallels.add(v, &p.Elem, p.Port, "parallel")
	}
}

// ports checks the numbers of serial or parallel ports, of which a PC has only a few.
type ports struct {
	count int
	most  int
	taken map[uint]*Elem
}

func newPorts(most int) *ports { return &ports{most: most, taken: make(map[uint]*Elem)} }

func (p *ports) add(v *validator, e *Elem, port *uint, noun string) {
	p.count++
	switch {
	case p.count > p.most:
		v.fail(e, "", "a pc has only %d %s ports", p.most, noun)
	case port == nil:
	case *port >= uint(p.most):
		v.fail(e, "target@port", `port="%d" is not from 0 to %d, the %s ports of a pc`, *port, p.most-1, noun)
	case p.taken[*port] != nil:
		v.fail(e, "target@port", `port="%d" is taken by %s`, *port, p.taken[*port].Path())
	default:
		p.taken[*port] = e
	}
}

// stdio refuses a second device on the standard input and output: both would read the same keys.
func (v *validator) stdio() {
	var first *Elem
	check := func(e *Elem, b *CharBackend) {
		switch {
		case b.Type != CharStdio:
		case first == nil:
			first = e
		default:
			v.fail(e, "", `type="stdio" is taken by %s`, first.Path())
		}
	}
	for _, s := range v.d.Devices.Serials {
		check(&s.Elem, &s.CharBackend)
	}
	for _, p := range v.d.Devices.Parallels {
		check(&p.Elem, &p.CharBackend)
	}
	for i, s := range v.d.Devices.Consoles {
		if i > 0 || !s.IsSerial() || len(v.d.Devices.Serials) == 0 {
			check(&s.Elem, &s.CharBackend)
		}
	}
	for _, s := range v.d.Devices.Channels {
		check(&s.Elem, &s.CharBackend)
	}
}

func (v *validator) consoles() {
	for i, s := range v.d.Devices.Consoles {
		if i == 0 && s.IsSerial() && len(v.d.Devices.Serials) > 0 {
			continue // only another name of the first serial port, whose source counts
		}
		v.charBackend(&s.Elem, &s.CharBackend)
		if i > 0 && s.IsSerial() {
			v.fail(&s.Elem, "", "only the first console can be a serial port")
		}
	}
}

func (v *validator) channels() {
	names := make(map[string]*Channel)
	forwards := make(map[string]*Channel)
	for _, s := range v.d.Devices.Channels {
		if s.TargetType != "virtio" || s.Type != CharUnix || s.SourcePath() != "" {
			v.charBackend(&s.Elem, &s.CharBackend) // a virtio channel's socket may get a path made up
		}
		switch s.TargetType {
		case "guestfwd":
			v.guestfwd(s, forwards)
		case "virtio":
			name := s.portName()
			if first := names[name]; first != nil && name != "" {
				v.fail(&s.Elem, "target@name", "name=%q stands twice, first at %s", clip(name), first.Path())
			} else {
				names[name] = s
			}
		}
		if s.Type != CharSpiceVMC {
			continue
		}
		if s.TargetType != "" && s.TargetType != "virtio" {
			v.fail(&s.Elem, "target@type", `type="spicevmc" needs a target of type="virtio"`)
		}
		if !v.hasSpice() {
			v.fail(&s.Elem, "", `type="spicevmc" needs a <graphics type="spice">`)
		}
	}
	v.virtioSerialPorts()
}

// guestfwd checks an address in the user network; taken are those of the channels before.
func (v *validator) guestfwd(s *Channel, taken map[string]*Channel) {
	if s.TargetAddress == "" {
		v.fail(&s.Elem, "target", "attribute address is missing")
	} else if a, err := netip.ParseAddr(s.TargetAddress); err != nil || !a.Is4() {
		v.fail(&s.Elem, "target@address", "address=%q is not an IPv4 address", clip(s.TargetAddress))
	}
	if s.TargetPort == 0 && s.src.child("target").attr("port") == nil {
		v.fail(&s.Elem, "target", "attribute port is missing")
	}
	where := net.JoinHostPort(s.TargetAddress, strconv.Itoa(int(s.TargetPort)))
	if first := taken[where]; first != nil {
		v.fail(&s.Elem, "target", "%s is taken by %s", clip(where), first.Path())
		return
	}
	taken[where] = s
}

func (v *validator) hasSpice() bool {
	for _, g := range v.d.Devices.Graphics {
		if g.Type == "spice" {
			return true
		}
	}
	return false
}

// virtioSerialPorts checks that the ports of virtio-serial controllers are there, and that none is
// used twice.
func (v *validator) virtioSerialPorts() {
	taken := make(map[portPlace]*Elem)
	ports := v.d.Devices.serialPorts()
	add := func(e *Elem, a *Address, channel bool) {
		if a == nil || a.Type != AddressVirtioSerial {
			return
		}
		if a.Serial.Bus != 0 {
			v.fail(&a.Elem, "@bus", `bus="%d" does not exist: a virtio-serial controller has only bus 0`, a.Serial.Bus)
			return
		}
		if a.Serial.Port == nil {
			return
		}
		p := portPlace{a.Serial.Controller, *a.Serial.Port}
		first := taken[p]
		switch {
		case p.port >= ports.of(p.controller):
			v.fail(&a.Elem, "@port", `port="%d" does not exist: virtio-serial controller %d has the ports 0 to %d`,
				p.port, p.controller, ports.of(p.controller)-1)
		case channel && p.port == 0:
			v.fail(&a.Elem, "@port", `port="0" is for a console only; channels begin with 1`)
		case first != nil:
			v.fail(&a.Elem, "@port", `port="%d" is taken by %s`, p.port, first.Path())
		default:
			taken[p] = e
		}
	}
	for _, s := range v.d.Devices.Consoles {
		add(&s.Elem, s.Address, false)
	}
	for _, s := range v.d.Devices.Channels {
		add(&s.Elem, s.Address, true)
	}
}

// portName returns the name that the guest sees for a virtio channel.
func (s *Channel) portName() string {
	if s.TargetName == "" && s.Type == CharSpiceVMC {
		return "com.redhat.spice.0"
	}
	return s.TargetName
}

func (v *validator) smartcards() {
	for i, s := range v.d.Devices.Smartcards {
		if i > 0 {
			v.fail(&s.Elem, "", "a domain can have only one smartcard")
		}
		if s.Mode == "passthrough" && s.Backend == nil {
			v.fail(&s.Elem, "", `mode="passthrough" needs the attribute type`)
		}
		if s.Mode != "passthrough" && s.Mode != "" && s.Backend != nil {
			v.fail(&s.Elem, "@type", `type is only for mode="passthrough", not %q`, s.Mode)
		}
		if s.Backend != nil {
			v.charBackend(&s.Elem, s.Backend)
			if s.Backend.Type == CharSpiceVMC && !v.hasSpice() {
				v.fail(&s.Elem, "", `type="spicevmc" needs a <graphics type="spice">`)
			}
		}
		if n := len(s.Certificates); s.Mode == "host-certificates" && n != 3 {
			v.fail(&s.Elem, "", `mode="host-certificates" needs exactly three <certificate>, and there are %d`, n)
		}
		v.absolute(&s.Elem, "database", s.Database)
		if a := s.Address; a != nil && a.Type == AddressCCID && (a.CCID.Controller != 0 || a.CCID.Slot != 0) {
			v.fail(&a.Elem, "", "the only place of a smartcard is controller 0, slot 0")
		}
	}
}
