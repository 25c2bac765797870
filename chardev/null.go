package chardev

// Null is the back end that leads nowhere: output vanishes, there is no input.
// The connection is always up.
type Null struct{ port }

// NewNull returns a null back end.
func NewNull(opts Options) *Null {
	n := new(Null)
	n.init(opts, true)
	return n
}
