package line

import (
	"strings"
	"unicode/utf8"
)

// escapes holds the canonical escape of each byte that has one (L-3.4).
var escapes = func() (all [256]string) {
	const hex = "0123456789abcdef"
	for b := range 0x20 {
		all[b] = `\u00` + string(hex[b>>4]) + string(hex[b&15])
	}
	for b, escape := range map[byte]string{
		'\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`, '"': `\"`, '\\': `\\`,
	} {
		all[b] = escape
	}
	return all
}()

// appendEscaped appends valid UTF-8 as the inside of a JSON string.
func appendEscaped[T string | []byte](out []byte, text T) []byte {
	out, _ = appendEscapedWithin(out, text, int(^uint(0)>>1))
	return out
}

// appendEscapedWithin appends as many whole characters of text as take at most room bytes once escaped, and returns how
// many bytes of text that is. text is valid UTF-8.
func appendEscapedWithin[T string | []byte](out []byte, text T, room int) ([]byte, int) {
	start := 0
	for at := 0; at < len(text); at++ {
		escape := escapes[text[at]]
		if escape == "" {
			continue
		}
		run := at - start
		if run > room {
			break
		}
		out = append(out, text[start:at]...)
		room -= run
		start = at
		if len(escape) > room {
			return out, at
		}
		out = append(out, escape...)
		room -= len(escape)
		start = at + 1
	}
	end := len(text)
	if end-start > room {
		end = start + room
		for end > start && !utf8.RuneStart(text[end]) {
			end--
		}
	}
	return append(out, text[start:end]...), end
}

// AppendString appends a whole JSON string; what is not UTF-8 in it becomes U+FFFD.
func AppendString(out []byte, text string) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	out = append(out, '"')
	return append(appendEscaped(out, text), '"')
}

// appendHeaderValue appends a header's value as a JSON string; where it is not UTF-8, each byte is the Latin-1 character of
// that number (L-3.5).
func appendHeaderValue(out []byte, value string) []byte {
	if utf8.ValidString(value) {
		return AppendString(out, value)
	}
	var text strings.Builder
	for at := range len(value) {
		text.WriteRune(rune(value[at]))
	}
	return AppendString(out, text.String())
}
