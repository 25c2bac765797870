package domcfg

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// writeTree writes the element in canonical form: two blanks a level, attributes in single quotes,
// a line for each element, "<name/>" for an empty one.
func writeTree(w io.Writer, n *node) error {
	if err := writable(n); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	writeNode(b, n, "")
	return b.Flush()
}

func writeNode(b *bufio.Writer, n *node, indent string) {
	b.WriteString(indent)
	writeTag(b, n)
	switch {
	case len(n.children) == 0 && n.text == "":
		b.WriteString("/>\n")
		return
	case len(n.children) == 0:
		b.WriteByte('>')
		textEscaper.WriteString(b, n.text)
	default:
		b.WriteByte('>')
		// Text beside children only occurs in elements that are kept uninterpreted. It goes first, and
		// no line break is added to it.
		if n.text != "" {
			textEscaper.WriteString(b, n.text)
			for _, c := range n.children {
				writeInline(b, c)
			}
		} else {
			b.WriteByte('\n')
			for _, c := range n.children {
				writeNode(b, c, indent+"  ")
			}
			b.WriteString(indent)
		}
	}
	b.WriteString("</")
	b.WriteString(n.name)
	b.WriteString(">\n")
}

// writeTag writes the start tag, without its closing bracket.
func writeTag(b *bufio.Writer, n *node) {
	b.WriteByte('<')
	b.WriteString(n.name)
	for _, a := range n.attrs {
		b.WriteByte(' ')
		b.WriteString(a.name)
		b.WriteString("='")
		attrEscaper.WriteString(b, a.value)
		b.WriteByte('\'')
	}
}

// writeInline writes an element inside text, without any blanks of its own.
func writeInline(b *bufio.Writer, n *node) {
	writeTag(b, n)
	b.WriteByte('>')
	textEscaper.WriteString(b, n.text)
	for _, c := range n.children {
		writeInline(b, c)
	}
	b.WriteString("</")
	b.WriteString(n.name)
	b.WriteByte('>')
}

// A carriage return, and in attributes a line break or tab, must be written as a reference: a
// reader would otherwise normalise it.
var (
	textEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#13;")
	attrEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;",
		"\r", "&#13;", "\n", "&#10;", "\t", "&#9;")
)

// writable reports the first string that XML has no way to write.
func writable(n *node) error {
	for _, a := range n.attrs {
		if !isXMLText(a.value) {
			return fmt.Errorf("%s: attribute %s: %q has a character that XML cannot hold", n.path(), a.name, a.value)
		}
	}
	if !isXMLText(n.text) {
		return fmt.Errorf("%s: %q has a character that XML cannot hold", n.path(), n.text)
	}
	for _, c := range n.children {
		if err := writable(c); err != nil {
			return err
		}
	}
	return nil
}

// isXMLText reports whether all characters are in the range Char of XML 1.0, section 2.2.
func isXMLText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		switch {
		case r == '\t', r == '\n', r == '\r', 0x20 <= r && r <= 0xd7ff, 0xe000 <= r && r <= 0xfffd, r >= 0x10000:
		default:
			return false
		}
	}
	return true
}
