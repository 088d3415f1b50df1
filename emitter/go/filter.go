package reassemble

import (
	"slices"
	"strings"
)

// filter lets in what one of only fits, or all where that is empty, and keeps out what one of skip fits. An item with `*` at its end fits all
// that begins so.
type filter struct{ only, skip []string }

func (f *filter) isOpen() bool { return len(f.only) == 0 && len(f.skip) == 0 }

func (f *filter) lets(text string) bool {
	fits := func(item string) bool {
		if start, open := strings.CutSuffix(item, "*"); open {
			return strings.HasPrefix(text, start)
		}
		return text == item
	}
	return (len(f.only) == 0 || slices.ContainsFunc(f.only, fits)) && !slices.ContainsFunc(f.skip, fits)
}

// letsMethod compares without case: items are kept in uppercase.
func (f *filter) letsMethod(method string) bool { return f.isOpen() || f.lets(strings.ToUpper(method)) }

// letsContentType leaves parameters aside. A body without a content type counts as of the empty type.
func (f *filter) letsContentType(value string) bool { return f.isOpen() || f.lets(mediaType(value)) }

// mediaType is a content type without its parameters, in lowercase.
func mediaType(value string) string {
	value, _, _ = strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(value))
}

// pathOf is the path of a URL or request target, as it stands.
func pathOf(url string) string {
	if at := strings.IndexAny(url, "?#"); at >= 0 {
		url = url[:at]
	}
	if at := strings.Index(url, "://"); at >= 0 && !strings.Contains(url[:at], "/") {
		url = url[at+3:]
		slash := strings.IndexByte(url, '/')
		if slash < 0 {
			return "/"
		}
		url = url[slash:]
	}
	return url
}
