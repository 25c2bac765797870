package bootloader

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parseSXP reads an S-expression: the word linux and lists of a key and its value,
// all of it perhaps in one more pair of parentheses.
//
// Words end at white space and parentheses. A value may be in quotes of either
// kind, with backslashes, as Python prints strings; programs that are shell scripts
// put none, so several words of a list make up the value.
func parseSXP(text string) (a answer, err error) {
	r := sxpReader{text: text}
	wrapped := r.accept('(')
	if word, err := r.word(); err != nil || word != "linux" {
		return a, errors.New("does not begin with the word linux")
	}
	for r.accept('(') {
		key, value, err := r.pair()
		if err != nil {
			return a, err
		}
		a.set(key, value, key+" "+value)
	}
	if wrapped && !r.accept(')') {
		return a, errors.New("has a parenthesis that is not closed")
	}
	if r.skipSpace(); r.pos < len(text) {
		return a, fmt.Errorf("goes on with %q after its end", clip([]byte(text[r.pos:])))
	}
	return a, nil
}

type sxpReader struct {
	text string
	pos  int
}

func (r *sxpReader) skipSpace() {
	for r.pos < len(r.text) && isSpace(r.text[r.pos]) {
		r.pos++
	}
}

// accept skips white space and then c, and tells whether c was there.
func (r *sxpReader) accept(c byte) bool {
	r.skipSpace()
	if r.pos == len(r.text) || r.text[r.pos] != c {
		return false
	}
	r.pos++
	return true
}

// pair reads a list, after its opening parenthesis, to its end.
func (r *sxpReader) pair() (key, value string, err error) {
	if key, err = r.word(); err != nil {
		return "", "", err
	}
	var words []string
	for !r.accept(')') {
		word, err := r.word()
		if err != nil {
			return "", "", err
		}
		words = append(words, word)
	}
	return key, strings.Join(words, " "), nil
}

// word reads a word or a string in quotes.
func (r *sxpReader) word() (string, error) {
	r.skipSpace()
	start := r.pos
	for ; r.pos < len(r.text); r.pos++ {
		switch c := r.text[r.pos]; {
		case (c == '"' || c == '\'') && r.pos == start:
			return r.quoted(c)
		case c == '(', c == ')', isSpace(c):
			if r.pos == start {
				return "", fmt.Errorf("has %q where a word should be", c)
			}
			return r.text[start:r.pos], nil
		}
	}
	if r.pos == start {
		return "", errors.New("has a parenthesis that is not closed")
	}
	return r.text[start:], nil
}

// quoted reads a string from its opening quotation mark on.
func (r *sxpReader) quoted(quote byte) (string, error) {
	var b strings.Builder
	for r.pos++; r.pos < len(r.text); r.pos++ {
		switch c := r.text[r.pos]; c {
		case quote:
			r.pos++
			// Old programs did not quote quotation marks inside a string, and
			// there is no telling then where it ends.
			if r.pos < len(r.text) && !isSpace(r.text[r.pos]) && r.text[r.pos] != ')' {
				return "", fmt.Errorf("has %q right after a string", r.text[r.pos])
			}
			return b.String(), nil
		case '\\':
			v, err := r.escape()
			if err != nil {
				return "", err
			}
			b.WriteByte(v)
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("has a string that is not closed")
}

// escape reads what a backslash begins, and stays on the last byte of it.
func (r *sxpReader) escape() (byte, error) {
	r.pos++
	if r.pos == len(r.text) {
		return 0, errors.New("has a string that is not closed")
	}
	switch c := r.text[r.pos]; c {
	case '\\', '\'', '"':
		return c, nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'x':
		if r.pos+2 < len(r.text) {
			if v, err := strconv.ParseUint(r.text[r.pos+1:r.pos+3], 16, 8); err == nil {
				r.pos += 2
				return byte(v), nil
			}
		}
	}
	return 0, fmt.Errorf("has the unknown escape \\%c in a string", r.text[r.pos])
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
