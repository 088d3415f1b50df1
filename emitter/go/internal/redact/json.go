package redact

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/reassemble/reassemble/emitter/go/internal/line"
)

const (
	// maxDepth is how many arrays and objects may be nested.
	maxDepth = 128
	// maxTexts is how many texts that are JSON themselves are looked through within one another: a queue's event that brings a topic's message has two.
	maxTexts = 4
)

// JSON gives a body of one or several JSON values as it may be captured: what stands under a listed name, of whatever type, becomes a text.
// It is false where the body is not JSON, or nested too deep.
func (r *Redactor) JSON(body []byte) ([]byte, bool) {
	if !utf8.Valid(body) {
		return nil, false
	}
	if !r.inJSON().finds(body) {
		// Nothing is listed, however the text is read.
		return body, true
	}
	return r.withoutSecrets(body, 0)
}

// withoutSecrets reads JSON that stands in so many texts, whether a name may stand in it or not.
func (r *Redactor) withoutSecrets(body []byte, texts int) ([]byte, bool) {
	s := scan{in: body, redactor: r, texts: texts}
	for s.space(); s.at < len(s.in); s.space() {
		if !s.value(0) {
			return nil, false
		}
	}
	if s.out == nil {
		return body, true
	}
	return append(s.out, s.in[s.copied:]...), true
}

// scan reads JSON strictly and copies it but for secrets.
type scan struct {
	in       []byte
	at       int
	redactor *Redactor
	// texts is in how many texts the input stands.
	texts int
	out   []byte
	// name has room for one in lowercase.
	name []byte
	// copied is up to where the input stands in out.
	copied int
}

func (s *scan) peek() byte {
	if s.at < len(s.in) {
		return s.in[s.at]
	}
	return 0
}

func (s *scan) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next steps over one byte, if it is this one.
func (s *scan) next(b byte) bool {
	if s.peek() != b || s.at >= len(s.in) {
		return false
	}
	s.at++
	return true
}

func (s *scan) value(depth int) bool {
	switch b := s.peek(); {
	case b == '{':
		return depth < maxDepth && s.object(depth+1)
	case b == '[':
		return depth < maxDepth && s.array(depth+1)
	case b == '"':
		return s.textValue()
	case b == 't':
		return s.word("true")
	case b == 'f':
		return s.word("false")
	case b == 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

// textValue reads a string that is a value, and leaves out what is secret in JSON that it holds.
func (s *scan) textValue() bool {
	start := s.at
	text, ok := s.text()
	if !ok {
		return false
	}
	if kept, ok := s.within(text); ok {
		s.out = append(s.out, s.in[s.copied:start]...)
		s.out = line.AppendString(s.out, string(kept))
		s.copied = s.at
	}
	return true
}

// within gives what a string says, which has its quotes here, without its secrets. It is false where that is no JSON or has none.
func (s *scan) within(text []byte) ([]byte, bool) {
	// JSON that has names has quotes, and those have escapes here.
	if s.texts == maxTexts || strings.IndexByte(`{[ \`, text[1]) < 0 || bytes.IndexByte(text, '\\') < 0 {
		return nil, false
	}
	said := unescaped(text)
	start := bytes.TrimLeft(said, " \t\n\r")
	if len(start) == 0 || start[0] != '{' && start[0] != '[' {
		return nil, false
	}
	kept, ok := s.redactor.withoutSecrets(said, s.texts+1)
	return kept, ok && !bytes.Equal(kept, said)
}

func (s *scan) object(depth int) bool {
	s.at++
	s.space()
	if s.next('}') {
		return true
	}
	for {
		name, ok := s.text()
		if !ok {
			return false
		}
		s.space()
		if !s.next(':') {
			return false
		}
		s.space()
		if !s.member(name, depth) {
			return false
		}
		s.space()
		if s.next('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
		s.space()
	}
}

// member reads a value, and leaves it out where its name is listed: what within it is listed too goes with it.
func (s *scan) member(name []byte, depth int) bool {
	if !s.isSecret(name[1 : len(name)-1]) {
		return s.value(depth)
	}
	start, out, copied := s.at, s.out, s.copied
	if !s.value(depth) {
		return false
	}
	s.out = append(out, s.in[copied:start]...)
	s.out = append(s.out, `"`+Redacted+`"`...)
	s.copied = s.at
	return true
}

func (s *scan) array(depth int) bool {
	s.at++
	s.space()
	if s.next(']') {
		return true
	}
	for {
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.next(']') {
			return true
		}
		if !s.next(',') {
			return false
		}
		s.space()
	}
}

// text reads a string and gives it with its quotes.
func (s *scan) text() ([]byte, bool) {
	start := s.at
	if !s.next('"') {
		return nil, false
	}
	for s.at < len(s.in) {
		switch b := s.in[s.at]; {
		case b == '"':
			s.at++
			return s.in[start:s.at], true
		case b == '\\':
			if !s.escape() {
				return nil, false
			}
		case b < ' ':
			return nil, false
		default:
			s.at++
		}
	}
	return nil, false
}

func (s *scan) escape() bool {
	s.at++
	b := s.peek()
	s.at++
	if b != 'u' {
		return b != 0 && strings.IndexByte(`"\/bfnrt`, b) >= 0
	}
	for range 4 {
		if !isHex(s.peek()) {
			return false
		}
		s.at++
	}
	return true
}

func (s *scan) word(word string) bool {
	if string(s.in[s.at:min(s.at+len(word), len(s.in))]) != word {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scan) number() bool {
	s.next('-')
	if !s.next('0') && !s.digits() {
		return false
	}
	if s.next('.') && !s.digits() {
		return false
	}
	if s.next('e') || s.next('E') {
		if !s.next('+') {
			s.next('-')
		}
		return s.digits()
	}
	return true
}

func (s *scan) digits() bool {
	start := s.at
	for b := s.peek(); '0' <= b && b <= '9'; b = s.peek() {
		s.at++
	}
	return s.at > start
}

// isSecret tells whether a name, as it stands between its quotes, is listed.
func (s *scan) isSecret(name []byte) bool {
	if bytes.IndexByte(name, '\\') >= 0 {
		name = unescaped(slices.Concat([]byte{'"'}, name, []byte{'"'}))
	} else if !s.redactor.inJSON().finds(name) {
		return false
	}
	s.name = appendLower(s.name[:0], name)
	return s.redactor.isName(s.name)
}

// unescaped gives what a string says, which has its quotes here.
func unescaped(text []byte) []byte {
	var said string
	// It was read strictly, so that this can't fail.
	_ = json.Unmarshal(text, &said)
	return []byte(said)
}
