package domcfg

// Smartcard is an element smartcard.
type Smartcard struct {
	DeviceInfo
	Mode         string       // host, host-certificates or passthrough
	Backend      *CharBackend // passthrough: the way to the card
	Certificates []*Certificate
	Database     string // of the certificates
}

// Certificate is an element certificate within smartcard.
type Certificate struct {
	Elem
	Name string
}

func (s *Smartcard) code(c *coder) {
	enum(c.attr("mode").required(), &s.Mode, "host", "host-certificates", "passthrough")
	if c.reading && c.n.attr("type") != nil {
		s.Backend = new(CharBackend)
	}
	if s.Backend != nil {
		s.Backend.code(c)
	}
	children(c, "certificate", &s.Certificates)
	c.leaf("database").str(&s.Database)
	s.codeInfo(c)
}

func (r *Certificate) code(c *coder) { c.body().str(&r.Name) }
