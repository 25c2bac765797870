package domcfg

import (
	"strconv"
	"strings"
)

// A node is one XML element: as it stood in a file, or as it is about to be written.
type node struct {
	name     string
	attrs    []attribute
	text     string
	children []*node
	parent   *node
	index    int // place among siblings of the same name, from 1; 0 for an only one

	file         string // the root's only
	line, column int    // 0 in a node that is about to be written
	src          *node  // for such a node: where it was read, if it was

	kept     bool // about to be written: no field has it
	used     bool // while reading: some field took this element
	textUsed bool
}

// An attribute is one attribute of a node.
type attribute struct {
	name, value  string
	line, column int
	kept, used   bool // as in a node
}

func (n *node) attr(name string) *attribute {
	for i := range n.attrs {
		if n.attrs[i].name == name {
			return &n.attrs[i]
		}
	}
	return nil
}

// value returns the attribute's value, empty where it is absent.
func (n *node) value(name string) string {
	if a := n.attr(name); a != nil {
		return a.value
	}
	return ""
}

func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (n *node) append(c *node) {
	c.parent = n
	n.children = append(n.children, c)
}

func (n *node) empty() bool {
	return len(n.attrs) == 0 && len(n.children) == 0 && n.text == ""
}

// number sets the indices of the children.
func (n *node) number() {
	if len(n.children) < 2 {
		return
	}
	last := make(map[string]*node, 8)
	for _, c := range n.children {
		c.index = 0
		if prev := last[c.name]; prev != nil {
			if prev.index == 0 {
				prev.index = 1
			}
			c.index = prev.index + 1
		}
		last[c.name] = c
	}
}

// pos returns where the element was read; an element that was never read has the position of
// the nearest one around it that was.
func (n *node) pos() Pos {
	for m := n; m != nil; m = m.parent {
		at := m
		for at.line == 0 && at.src != nil {
			at = at.src
		}
		if at.line != 0 {
			return Pos{File: at.fileName(), Line: at.line, Column: at.column}
		}
		if m.parent == nil {
			return Pos{File: at.fileName()}
		}
	}
	return Pos{}
}

// attrPos returns where an attribute was read, or else where its element was.
func (n *node) attrPos(name string) Pos {
	at := n
	for at.line == 0 && at.src != nil {
		at = at.src
	}
	if a := at.attr(name); a != nil && a.line != 0 {
		return Pos{File: at.fileName(), Line: a.line, Column: a.column}
	}
	return n.pos()
}

func (n *node) fileName() string {
	for n.parent != nil {
		n = n.parent
	}
	return n.file
}

// path returns the way to the element from below the root, such as devices/disk[2]/driver.
func (n *node) path() string { return n.steps(true) }

// kind returns the path without indices: what elements of one sort have in common.
func (n *node) kind() string { return n.steps(false) }

func (n *node) steps(indices bool) string {
	if n.parent == nil {
		return ""
	}
	var up []*node
	for m := n; m.parent != nil; m = m.parent {
		up = append(up, m)
	}
	var b strings.Builder
	for i := len(up) - 1; i >= 0; i-- {
		b.WriteString(up[i].name)
		if indices && up[i].index > 0 {
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(up[i].index))
			b.WriteByte(']')
		}
		if i > 0 {
			b.WriteByte('/')
		}
	}
	return b.String()
}

// same reports whether two elements hold the same names, values, text and children.
func (n *node) same(m *node) bool {
	if n.name != m.name || n.text != m.text || len(n.attrs) != len(m.attrs) || len(n.children) != len(m.children) {
		return false
	}
	for i := range n.attrs {
		if n.attrs[i].name != m.attrs[i].name || n.attrs[i].value != m.attrs[i].value {
			return false
		}
	}
	for i := range n.children {
		if !n.children[i].same(m.children[i]) {
			return false
		}
	}
	return true
}
