package domcfg

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read, far above any real domain. They keep a hostile file from costing more
// than some hundred megabytes and a second.
const (
	maxSize     = 4 << 20 // bytes of input
	maxDepth    = 64      // elements inside each other
	maxElements = 100_000
	maxAttrs    = 64  // of one element
	maxNameLen  = 256 // bytes of an element's or attribute's name
)

// readTree reads one XML document. The error is an *Error with a position for anything wrong with
// the XML itself, and the reader's own error where reading failed.
func readTree(file string, r io.Reader) (*node, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	start := Pos{File: file, Line: 1, Column: 1}
	if len(data) > maxSize {
		return nil, &Error{Pos: start, Msg: fmt.Sprintf("the file is over %d MiB, too large for a domain", maxSize>>20)}
	}
	data, err = toUTF8(data)
	if err != nil {
		return nil, &Error{Pos: start, Msg: err.Error()}
	}
	dec := xml.NewDecoder(bytes.NewReader(data))
	// toUTF8 has converted the text; the declaration still names the old charset.
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	t := &treeReader{file: file, data: data, dec: dec, line: 1, column: 1}
	return t.read()
}

// A treeReader turns the decoder's tokens into nodes.
//
// RawToken is used, and the matching of tags done here, because its errors then name both tags
// and because prefixes such as qemu: are kept as they are written.
type treeReader struct {
	file string
	data []byte
	dec  *xml.Decoder

	offset       int // in data, at line and column
	line, column int

	root  *node
	open  []*node
	texts [][]byte // text so far of each open element
	count int
}

func (t *treeReader) read() (*node, error) {
	for {
		start := int(t.dec.InputOffset())
		tok, err := t.dec.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, t.syntaxError(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			err = t.startElement(start, tok)
		case xml.EndElement:
			err = t.endElement(start, tok)
		case xml.CharData:
			err = t.charData(start, tok)
		}
		// Comments, processing instructions and DOCTYPE have no meaning in a domain. Entities that a
		// DOCTYPE declares are never expanded: using one is an error of the decoder.
		if err != nil {
			return nil, err
		}
	}
	if n := len(t.open); n > 0 {
		last := t.open[n-1]
		return nil, t.fail(len(t.data), "not well-formed: the file ends inside <%s>, which line %d opens", last.name, last.line)
	}
	if t.root == nil {
		return nil, t.fail(len(t.data), "not well-formed: there is no element in the file")
	}
	return t.root, nil
}

func (t *treeReader) startElement(start int, tok xml.StartElement) error {
	name := joinName(tok.Name)
	if t.root != nil && len(t.open) == 0 {
		return t.fail(start, "not well-formed: a second root element, <%.40s>", name)
	}
	t.count++
	switch {
	case len(name) > maxNameLen:
		return t.fail(start, "an element's name has over %d bytes", maxNameLen)
	case len(t.open) >= maxDepth:
		return t.fail(start, "elements stand more than %d deep inside each other", maxDepth)
	case t.count > maxElements:
		return t.fail(start, "the file has more than %d elements", maxElements)
	case len(tok.Attr) > maxAttrs:
		return t.fail(start, "<%s> has more than %d attributes", name, maxAttrs)
	}
	n := &node{name: name}
	n.line, n.column = t.advance(start)
	if t.root == nil {
		t.root = n
		n.file = t.file
	} else {
		t.open[len(t.open)-1].append(n)
	}
	if err := t.attributes(n, start, tok); err != nil {
		return err
	}
	t.open = append(t.open, n)
	t.texts = append(t.texts, nil)
	return nil
}

// attributes fills in the node's attributes. The decoder does not tell where they stand, so the
// tag, which it has found well-formed, is gone through once more.
func (t *treeReader) attributes(n *node, start int, tok xml.StartElement) error {
	if len(tok.Attr) == 0 {
		return nil
	}
	n.attrs = make([]attribute, 0, len(tok.Attr))
	tag := t.data[start:t.dec.InputOffset()]
	at := bytes.IndexAny(tag, " \t\r\n")
	for _, a := range tok.Attr {
		for at < len(tag) && isSpace(tag[at]) {
			at++
		}
		name := joinName(a.Name)
		if len(name) > maxNameLen {
			return t.fail(start+at, "an attribute's name has over %d bytes", maxNameLen)
		}
		if n.attr(name) != nil {
			return t.fail(start+at, "not well-formed: <%s> has the attribute %s twice", n.name, name)
		}
		line, column := t.advance(start + at)
		n.attrs = append(n.attrs, attribute{name: name, value: a.Value, line: line, column: column})
		if quote := bytes.IndexAny(tag[at:], `"'`); quote >= 0 {
			at += quote
			at += 2 + max(bytes.IndexByte(tag[at+1:], tag[at]), 0)
		}
	}
	return nil
}

func (t *treeReader) endElement(start int, tok xml.EndElement) error {
	name := joinName(tok.Name)
	if len(t.open) == 0 {
		return t.fail(start, "not well-formed: </%.40s> closes nothing", name)
	}
	n := t.open[len(t.open)-1]
	if n.name != name {
		return t.fail(start, "not well-formed: </%.40s> stands where </%s> is needed, for the <%s> in line %d", name, n.name, n.name, n.line)
	}
	text := t.texts[len(t.texts)-1]
	// Blank text between child elements is only the file's layout.
	if len(n.children) == 0 || len(bytes.TrimSpace(text)) > 0 {
		n.text = string(text)
	}
	n.number()
	t.open = t.open[:len(t.open)-1]
	t.texts = t.texts[:len(t.texts)-1]
	return nil
}

func (t *treeReader) charData(start int, text []byte) error {
	if len(t.open) == 0 {
		if len(bytes.TrimSpace(text)) > 0 {
			return t.fail(start, "not well-formed: there is text outside the root element")
		}
		return nil
	}
	last := len(t.texts) - 1
	t.texts[last] = append(t.texts[last], text...)
	return nil
}

// advance returns line and column of an offset. Offsets mostly go forward, so counting goes on
// from the last one.
func (t *treeReader) advance(offset int) (line, column int) {
	offset = min(offset, len(t.data))
	if offset < t.offset {
		t.offset, t.line, t.column = 0, 1, 1
	}
	part := t.data[t.offset:offset]
	if n := bytes.Count(part, []byte{'\n'}); n > 0 {
		t.line += n
		t.column = 1
		part = part[bytes.LastIndexByte(part, '\n')+1:]
	}
	t.column += utf8.RuneCount(part)
	t.offset = offset
	return t.line, t.column
}

func (t *treeReader) fail(offset int, format string, args ...any) error {
	line, column := t.advance(offset)
	return &Error{Pos: Pos{t.file, line, column}, Msg: fmt.Sprintf(format, args...)}
}

func (t *treeReader) syntaxError(err error) error {
	msg := err.Error()
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		msg = syntax.Msg
	}
	return t.fail(int(t.dec.InputOffset()), "not well-formed: %s", msg)
}

func joinName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// toUTF8 returns the document in UTF-8, whatever charset of the usual ones it declares.
func toUTF8(data []byte) ([]byte, error) {
	if bytes.HasPrefix(data, []byte{0xfe, 0xff}) || bytes.HasPrefix(data, []byte{0xff, 0xfe}) {
		return nil, errors.New("the file is in UTF-16; convert it to UTF-8")
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	charset := declaredCharset(data)
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return data, nil
	case "iso-8859-1", "iso_8859-1", "latin1", "latin-1":
		out := make([]byte, 0, len(data)+len(data)/8)
		for _, b := range data {
			out = utf8.AppendRune(out, rune(b)) // Latin-1 is the first 256 code points
		}
		return out, nil
	}
	return nil, fmt.Errorf("charset %.40q is not read; convert the file to UTF-8", charset)
}

// declaredCharset returns the encoding of the <?xml ...?> declaration.
func declaredCharset(data []byte) string {
	if !bytes.HasPrefix(data, []byte("<?xml")) {
		return ""
	}
	end := bytes.Index(data, []byte("?>"))
	if end < 0 {
		return ""
	}
	_, rest, found := bytes.Cut(data[:end], []byte("encoding"))
	if !found {
		return ""
	}
	rest = bytes.TrimLeft(rest, " \t\r\n=")
	if len(rest) == 0 || rest[0] != '"' && rest[0] != '\'' {
		return ""
	}
	value, _, _ := bytes.Cut(rest[1:], rest[:1])
	return string(value)
}
