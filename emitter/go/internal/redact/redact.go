// Package redact knows what must not be captured: headers, query parameters, names in bodies and userinfo that hold secrets.
//
// What is secret becomes Redacted, fixed and without its length; names stay, and every other byte stays as it was.
package redact

import (
	"bytes"
	"slices"
	"strings"
	"sync"
)

// Redacted stands in a secret's place.
const Redacted = "[redacted]"

var (
	defaultHeaders = []string{
		"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "x-csrftoken", "x-xsrf-token",
		"x-amz-security-token",
	}
	defaultNames = []string{
		"password", "passwd", "pwd", "secret", "*key", "*token*", "*session*", "*credit*", "*card*", "*auth*",
	}
	// defaultQuery is what signed URLs carry, in query strings alone.
	defaultQuery = []string{
		"AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token",
	}
)

// Redactor holds the lists. It is not changed once it is in use.
type Redactor struct {
	headers            []string
	names, query, kept []pattern
	// inJSON finds the names' texts, and what may spell a character of one by its number.
	inJSON func() *search
}

// New starts with the lists by default.
func New() *Redactor {
	r := &Redactor{headers: slices.Clone(defaultHeaders)}
	r.inJSON = sync.OnceValue(func() *search {
		texts := []string{`\u`}
		for _, name := range r.names {
			texts = append(texts, string(name.text))
		}
		return newSearch(texts...)
	})
	for _, name := range defaultNames {
		r.AddName(name)
	}
	for _, name := range defaultQuery {
		r.query = append(r.query, newPattern(name))
	}
	return r
}

// AddHeader lists a header, whatever its case.
func (r *Redactor) AddHeader(name string) { r.headers = append(r.headers, lower(name)) }

// KeepHeader takes a header from the list.
func (r *Redactor) KeepHeader(name string) {
	r.headers = slices.DeleteFunc(r.headers, func(listed string) bool { return listed == lower(name) })
}

// AddName lists a name in query strings, forms and JSON; `*` at an end stands for any characters.
func (r *Redactor) AddName(name string) { r.names = append(r.names, newPattern(name)) }

// KeepName exempts a name, or all of a pattern, even where another pattern lists it.
func (r *Redactor) KeepName(name string) { r.kept = append(r.kept, newPattern(name)) }

// Header gives a header's value as it may be captured.
func (r *Redactor) Header(name, value string) string {
	for _, listed := range r.headers {
		if len(listed) == len(name) && isLowerOf(listed, name) {
			return Redacted
		}
	}
	return value
}

// isName tells whether what stands under a name, in lowercase, is a secret.
func (r *Redactor) isName(name []byte) bool {
	return fits(r.names, name) && !fits(r.kept, name)
}

// isParameter tells whether a parameter's value is a secret; its name stands as in the URL or form.
func (r *Redactor) isParameter(name string, inQuery bool) bool {
	lowered := appendLower(nil, []byte(strings.TrimSpace(unescape(name))))
	return r.isName(lowered) || inQuery && fits(r.query, lowered) && !fits(r.kept, lowered)
}

// URL gives a URL as it may be captured: without userinfo, and listed query parameters without their values.
func (r *Redactor) URL(url string) string {
	if start, end := userinfo(url); end > start {
		url = url[:start] + url[end:]
	}
	rest, fragment := url, ""
	if at := strings.IndexByte(rest, '#'); at >= 0 {
		rest, fragment = rest[:at], rest[at:]
	}
	at := strings.IndexByte(rest, '?')
	if at < 0 {
		return url
	}
	parameters, changed := r.parameters(rest[at+1:], true)
	if !changed {
		return url
	}
	return rest[:at+1] + parameters + fragment
}

// Form gives a form's body as it may be captured.
func (r *Redactor) Form(body []byte) []byte {
	redacted, changed := r.parameters(string(body), false)
	if !changed {
		return body
	}
	return []byte(redacted)
}

// parameters redacts what stands between `&`. A listed name behind a `;`, which some servers take for a separator too, counts, and its
// value goes on to the next `&`.
func (r *Redactor) parameters(text string, inQuery bool) (string, bool) {
	var out strings.Builder
	copied, start := 0, 0
	for start <= len(text) {
		end := len(text)
		if at := strings.IndexByte(text[start:], '&'); at >= 0 {
			end = start + at
		}
		if value := r.secretIn(text[start:end], inQuery); value >= 0 {
			out.WriteString(text[copied : start+value])
			out.WriteString(Redacted)
			copied = end
		}
		start = end + 1
	}
	if out.Len() == 0 {
		return text, false
	}
	out.WriteString(text[copied:])
	return out.String(), true
}

// secretIn tells where the secret value starts in what stands between two `&`; -1 where there is none.
func (r *Redactor) secretIn(parameter string, inQuery bool) int {
	start := 0
	for field := range strings.SplitSeq(parameter, ";") {
		if equals := strings.IndexByte(field, '='); equals >= 0 && r.isParameter(field[:equals], inQuery) {
			return start + equals + 1
		}
		start += len(field) + 1
	}
	return -1
}

// userinfo tells where the userinfo with its `@` stands in a URL that has an authority.
func userinfo(url string) (start, end int) {
	slashes := strings.Index(url, "//")
	if slashes < 0 || slashes > 0 && (url[slashes-1] != ':' || strings.ContainsAny(url[:slashes], "/?#")) {
		return 0, 0
	}
	start = slashes + 2
	authority := url[start:]
	if at := strings.IndexAny(authority, "/?#"); at >= 0 {
		authority = authority[:at]
	}
	return start, start + strings.LastIndexByte(authority, '@') + 1
}

// unescape undoes percent-encoding where it is well formed, and reads `+` as a space.
func unescape(text string) string {
	if !strings.ContainsAny(text, "%+") {
		return text
	}
	out := make([]byte, 0, len(text))
	for at := 0; at < len(text); at++ {
		switch b := text[at]; {
		case b == '+':
			out = append(out, ' ')
		case b == '%' && at+2 < len(text) && isHex(text[at+1]) && isHex(text[at+2]):
			out = append(out, nibble(text[at+1])<<4|nibble(text[at+2]))
			at += 2
		default:
			out = append(out, b)
		}
	}
	return string(out)
}

func isHex(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'f'
}

func nibble(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return b | 0x20 - 'a' + 10
}

// lower is of ASCII letters alone.
func lower(text string) string { return string(appendLower(nil, []byte(text))) }

func appendLower(out, text []byte) []byte {
	for _, b := range text {
		out = append(out, lowerByte(b))
	}
	return out
}

func lowerByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b | 0x20
	}
	return b
}

// isLowerOf tells whether a text of the same length is this one in lowercase.
func isLowerOf[T string | []byte](lowered string, text T) bool {
	for at := range len(text) {
		if lowerByte(text[at]) != lowered[at] {
			return false
		}
	}
	return true
}

// pattern is a name in lowercase, with an optional `*` at each end.
type pattern struct {
	text               []byte
	openStart, openEnd bool
}

func newPattern(text string) pattern {
	text, openStart := strings.CutPrefix(lower(text), "*")
	text, openEnd := strings.CutSuffix(text, "*")
	return pattern{[]byte(text), openStart, openEnd}
}

func fits(patterns []pattern, name []byte) bool {
	return slices.ContainsFunc(patterns, func(p pattern) bool {
		switch {
		case p.openStart && p.openEnd:
			return bytes.Contains(name, p.text)
		case p.openStart:
			return bytes.HasSuffix(name, p.text)
		case p.openEnd:
			return bytes.HasPrefix(name, p.text)
		default:
			return bytes.Equal(name, p.text)
		}
	})
}
