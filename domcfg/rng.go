package domcfg

import "strings"

// Rng is an element rng: an entropy device. It is newer than the document.
type Rng struct {
	DeviceInfo
	Model   string // virtio; newer still: virtio-transitional, virtio-non-transitional
	Rate    *RngRate
	Backend RngBackend
}

// RngRate is the element rate within rng: what the guest may take.
type RngRate struct {
	Elem
	Bytes  uint // in each period
	Period uint // milliseconds; 0 for 1000
}

// RngModel is where the random bytes of an entropy device come from.
type RngModel string

// The values of RngModel.
const (
	RngRandom  RngModel = "random"  // a device of the host
	RngEGD     RngModel = "egd"     // a daemon that speaks EGD's protocol
	RngBuiltin RngModel = "builtin" // the host kernel, without a device
)

// RngBackend is the element backend within rng.
type RngBackend struct {
	Model RngModel
	Path  string       // random: the device; empty for /dev/urandom
	EGD   *CharBackend // egd: the way to the daemon
}

func (r *Rng) code(c *coder) {
	enum(c.attr("model").required(), &r.Model, "virtio", "virtio-transitional", "virtio-non-transitional")
	child(c, "rate", &r.Rate)
	if c.reading && c.n.child("backend") == nil {
		c.errorf(c.n.pos(), c.n.path(), "element <backend> is missing")
	}
	c.group("backend", r.Backend.code)
	r.codeInfo(c)
}

func (r *RngRate) code(c *coder) {
	number(c.attr("bytes").required(), &r.Bytes, 1, 1<<32-1)
	number(c.attr("period"), &r.Period, 1, 1<<32-1)
}

func (b *RngBackend) code(c *coder) {
	enum(c.attr("model").required(), &b.Model, RngRandom, RngEGD, RngBuiltin)
	switch b.Model {
	case RngRandom:
		c.body().str(&b.Path)
		if c.reading {
			b.Path = strings.TrimSpace(b.Path)
		}
	case RngEGD:
		if c.reading {
			b.EGD = new(CharBackend)
		}
		if b.EGD != nil {
			b.EGD.code(c)
		}
	}
}
