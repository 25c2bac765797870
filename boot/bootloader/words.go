package bootloader

import (
	"errors"
	"strings"
)

// splitWords splits a text as the POSIX shell does with quotes and backslashes
// (Shell Command Language, section 2.2), with no expansion of any kind and no
// comments: what xend did with these arguments.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	var quote byte // ' or " within quotes
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
			continue
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		case c == '\\' && quote != '\'':
			if i+1 == len(text) {
				return nil, errors.New("a backslash at the end has nothing to quote")
			}
			i++
			// Within double quotes it only quotes itself and them.
			if quote == '"' && text[i] != '"' && text[i] != '\\' {
				word.WriteByte('\\')
			}
			word.WriteByte(text[i])
		default:
			word.WriteByte(c)
		}
		inWord = true
	}
	if quote != 0 {
		return nil, errors.New("a quotation mark is not closed")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
