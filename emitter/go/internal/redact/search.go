package redact

// search finds any of several texts, whatever the case of ASCII letters. Most bodies hold none of the listed names, and to see that costs a
// fraction of reading them: of a body every second pair of bytes is looked at, and what stands around it only where a text can hold that pair.
type search struct {
	texts []string
	// pairs has a bit for each two bytes that may stand at an even place where one of the texts is.
	pairs [1 << 16 / 64]uint64
	// always says that the empty text is among them.
	always bool
}

// newSearch takes texts in lowercase.
func newSearch(texts ...string) *search {
	s := &search{texts: texts}
	for _, text := range texts {
		switch len(text) {
		case 0:
			s.always = true
		case 1:
			s.add(text[:1], "")
			s.add("", text[:1])
		case 2:
			s.add(text[:1], text[1:2])
			s.add("", text[:1])
		default:
			s.add(text[:1], text[1:2])
			s.add(text[1:2], text[2:3])
		}
	}
	return s
}

// add takes a pair in every case; an empty text stands for any byte.
func (s *search) add(first, second string) {
	for _, a := range casesOf(first) {
		for _, b := range casesOf(second) {
			pair := uint16(a) | uint16(b)<<8
			s.pairs[pair/64] |= 1 << (pair % 64)
		}
	}
}

func casesOf(text string) []byte {
	var cases []byte
	for b := range 256 {
		if text == "" || lowerByte(byte(b)) == text[0] {
			cases = append(cases, byte(b))
		}
	}
	return cases
}

// finds tells whether one of the texts occurs.
func (s *search) finds(in []byte) bool {
	if s.always {
		return true
	}
	for at := 0; at+1 < len(in); at += 2 {
		pair := uint16(in[at]) | uint16(in[at+1])<<8
		if s.pairs[pair/64]>>(pair%64)&1 != 0 && (s.isAt(in, at-1) || s.isAt(in, at) || s.isAt(in, at+1)) {
			return true
		}
	}
	return len(in)%2 == 1 && s.isAt(in, len(in)-1)
}

// isAt tells whether one of the texts begins at a place.
func (s *search) isAt(in []byte, at int) bool {
	if at < 0 {
		return false
	}
	rest := in[at:]
	for _, text := range s.texts {
		if len(text) <= len(rest) && lowerByte(rest[0]) == text[0] && isLowerOf(text, rest[:len(text)]) {
			return true
		}
	}
	return false
}
