package domcfg

import (
	"strconv"
	"strings"
)

// Elem is the part that every element's type has in common: where it was read, and what stood in
// it that has no field. It is embedded in them.
//
// The zero Elem belongs to an element that a program made.
type Elem struct {
	src    *node
	extras map[string]*extra // by the way to the element from this one, "" for itself
}

// extra is what an element holds that no field takes: it is kept so that Format loses nothing.
type extra struct {
	attrs    []attribute
	children []*node
	text     string
}

// Pos returns where the element was read.
func (e *Elem) Pos() Pos {
	if e.src == nil {
		return Pos{}
	}
	return e.src.pos()
}

// Path returns the way to the element in the file it was read from, such as devices/disk[2].
func (e *Elem) Path() string {
	if e.src == nil {
		return ""
	}
	return e.src.path()
}

func (e *Elem) elem() *Elem { return e }

// An element is anything that has its own XML element: code names its attributes and children,
// for reading and for writing.
type element interface {
	elem() *Elem
	code(c *coder)
}

// A session is one reading or writing of a whole domain.
type session struct {
	*reports
	newer *[2]ruleSet // of classify, made when it is first needed
}

// A coder is one XML element that is being read or written.
type coder struct {
	*session
	reading bool
	n       *node
	owner   *Elem  // keeps what no field takes
	rel     string // the way from the owner's element to n
}

// decode reads an element into a field.
func (c *coder) decode(n *node, into element) {
	n.used = true
	*into.elem() = Elem{src: n}
	sub := &coder{session: c.session, reading: true, n: n, owner: into.elem()}
	into.code(sub)
	sub.leftovers()
}

// encode writes a field as a child element.
func (c *coder) encode(name string, from element) {
	n := &node{name: name, src: from.elem().src}
	c.n.append(n)
	sub := &coder{session: c.session, n: n, owner: from.elem()}
	from.code(sub)
	sub.putExtras()
}

// first returns the first child of that name; more of them are reported.
func (c *coder) first(name string) *node {
	var found *node
	for _, n := range c.n.children {
		if n.name != name || n.used {
			continue
		}
		n.used = true
		if found == nil {
			found = n
			continue
		}
		c.warnf(n.pos(), n.path(), "ignored: only the first <%s> counts", name)
	}
	return found
}

// leftovers keeps and reports what code has not asked for.
func (c *coder) leftovers() {
	var x extra
	for i := range c.n.attrs {
		a := &c.n.attrs[i]
		if a.used {
			continue
		}
		x.attrs = append(x.attrs, attribute{name: a.name, value: a.value, line: a.line, column: a.column})
		if a.name != "xmlns" && !strings.HasPrefix(a.name, "xmlns:") {
			c.reportUnread(c.n, c.n.attrPos(a.name), "@"+a.name, a.value, "attribute "+a.name+"="+strconv.Quote(clip(a.value)))
		}
	}
	for _, n := range c.n.children {
		if !n.used {
			x.children = append(x.children, n)
			c.reportUnread(n, n.pos(), "/"+n.name, n.text, "element <"+clip(n.name)+">")
		}
	}
	if !c.n.textUsed && strings.TrimSpace(c.n.text) != "" {
		x.text = c.n.text
		c.warnf(c.n.pos(), c.n.path(), "ignored: text in an element that has none")
	}
	if x.attrs == nil && x.children == nil && x.text == "" {
		return
	}
	if c.owner.extras == nil {
		c.owner.extras = make(map[string]*extra)
	}
	c.owner.extras[c.rel] = &x
}

// reportUnread warns of an attribute or element that no field takes, unless Unsupported will
// refuse it.
func (c *coder) reportUnread(n *node, pos Pos, step, value, what string) {
	kind := strings.TrimPrefix(c.n.kind()+step, "/")
	switch class, reason := c.classify(kind, value, n); class {
	case refusedItem:
	case harmlessItem:
		c.warnf(pos, c.n.path(), "ignored: newer than the format's document: %s: %s", what, reason)
	default:
		c.warnf(pos, c.n.path(), "ignored: unknown %s", what)
	}
}

// putExtras writes what leftovers kept.
func (c *coder) putExtras() {
	x := c.owner.extras[c.rel]
	if x == nil {
		return
	}
	for _, a := range x.attrs {
		if c.n.attr(a.name) == nil {
			c.n.attrs = append(c.n.attrs, attribute{name: a.name, value: a.value, kept: true})
		}
	}
	for _, n := range x.children {
		c.n.append(n.copy())
	}
	if c.n.text == "" {
		c.n.text = x.text
	}
}

// copy returns an element to be written for one that was read and that no field has.
func (n *node) copy() *node {
	m := &node{name: n.name, text: n.text, src: n, kept: true}
	for _, a := range n.attrs {
		m.attrs = append(m.attrs, attribute{name: a.name, value: a.value, kept: true})
	}
	for _, c := range n.children {
		m.append(c.copy())
	}
	return m
}

// group codes a child element whose attributes and children are fields of the same struct. When
// writing, the element is left out if nothing is in it.
func (c *coder) group(name string, code func(c *coder)) {
	if c.reading {
		n := c.first(name)
		if n == nil {
			return
		}
		sub := &coder{session: c.session, reading: true, n: n, owner: c.owner, rel: c.rel + "/" + name}
		code(sub)
		sub.leftovers()
		return
	}
	sub := c.put(name)
	code(sub)
	sub.putExtras()
	if !sub.n.empty() {
		c.n.append(sub.n)
	}
}

// put makes a child element to be written, which is not yet among the children.
func (c *coder) put(name string) *coder {
	n := &node{name: name, parent: c.n}
	if c.n.src != nil {
		n.src = c.n.src.child(name)
	}
	return &coder{session: c.session, n: n, owner: c.owner, rel: c.rel + "/" + name}
}

// flag codes a child element that says yes by being there.
func (c *coder) flag(name string, v *bool) {
	if c.reading {
		c.group(name, func(*coder) { *v = true })
		return
	}
	if *v {
		sub := c.put(name)
		sub.putExtras()
		c.n.append(sub.n)
	}
}

// child codes a child element that may be there once.
func child[T any, P interface {
	*T
	element
}](c *coder, name string, v **T) {
	if c.reading {
		if n := c.first(name); n != nil {
			*v = new(T)
			c.decode(n, P(*v))
		}
		return
	}
	if *v != nil {
		c.encode(name, P(*v))
	}
}

// children codes a child element that may be there any number of times.
func children[T any, P interface {
	*T
	element
}](c *coder, name string, list *[]*T) {
	if c.reading {
		for _, n := range c.n.children {
			if n.name == name && !n.used {
				v := new(T)
				c.decode(n, P(v))
				*list = append(*list, v)
			}
		}
		return
	}
	for _, v := range *list {
		c.encode(name, P(v))
	}
}
