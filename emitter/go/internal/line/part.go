// Package line cuts the parts of a capture into capture lines: the same bytes in every language, whatever sizes a body arrives in.
//
// It does no I/O and holds about one line of each part. The rules are L-3, L-4 and L-8 of the capture line's specification.
package line

import (
	"encoding/base64"
	"hash/crc32"
	"strconv"
	"unicode/utf8"
)

// What the limit of a line can be, in bytes with its newline, and what it is unless set: what POSIX systems of note write to a
// pipe in one piece.
const (
	MinLimit     = 512
	DefaultLimit = 4096
	MaxLimit     = 262_144
)

const (
	// closeBytes is `}` and the newline.
	closeBytes = 2
	// pieceBytes is `,"text":"` and `"`, and `,"crc":"00000000"`.
	pieceBytes = 10 + 17
	// fragmentBytes is `,"headf":"` or `,"tailf":"`, and `"`.
	fragmentBytes = 11
	// minRoom is the longest escape: below so much room a line takes no piece.
	minRoom = 6
	// sliceLines bounds, in lines, what is joined to waiting bytes at once, so that a large arrival does not size the buffer of a part.
	sliceLines = 4
)

// The parts, as lines spell them.
const (
	Request  = "req"
	Response = "res"
	Meta     = "meta"
)

// Part cuts one part of one capture into lines. A line is given out once it is sure not to be the part's last, and no sooner; so where
// lines end depends on the body alone.
type Part struct {
	id, name string
	limit    int
	signer   *Signer

	head []byte
	// open is the line that goes on: its start and head. Empty before the first line is begun.
	open []byte
	// headf is the fragment of the head that stands on the open line, for its signature.
	headf []byte
	seq   uint64
	// base64 says that the rest of the body is.
	base64 bool
	// pending is body that no line has taken: at most what the open line may hold.
	pending []byte
	tail    []byte
	length  uint64
	crc     uint32
}

// NewPart begins a part. signer is nil where lines are not signed; it is shared by parts of one goroutine.
func NewPart(id, name string, head Head, limit int, signer *Signer) *Part {
	p := &Part{}
	p.Reset(id, name, head, limit, signer)
	return p
}

// Reset begins another part in the memory of one that is finished.
func (p *Part) Reset(id, name string, head Head, limit int, signer *Signer) {
	if signer != nil {
		limit -= signatureBytes
	}
	*p = Part{
		id: id, name: name, limit: limit, signer: signer, head: head.json(p.head), open: p.open[:0], pending: p.pending[:0], tail: p.tail,
	}
}

// Memory is how many bytes the part holds for itself.
func (p *Part) Memory() int { return cap(p.head) + cap(p.open) + cap(p.pending) + cap(p.tail) }

// Body takes the next bytes of the body and appends to out the lines that they complete.
func (p *Part) Body(out, body []byte) []byte {
	p.length += uint64(len(body))
	p.crc = crc32.Update(p.crc, crc32.IEEETable, body)
	slice := sliceLines * p.limit
	for len(body) > slice {
		out = p.take(out, body[:slice])
		body = body[slice:]
	}
	return p.take(out, body)
}

func (p *Part) take(out, body []byte) []byte {
	if len(body) == 0 {
		return out
	}
	if len(p.open) > 0 && len(p.pending)+len(body) <= p.window() {
		p.pending = append(p.pending, body...)
		return out
	}
	out = p.begin(out)
	rest := body
	if len(p.pending) > 0 {
		p.pending = append(p.pending, body...)
		rest = p.pending
	}
	for {
		window := p.window()
		if window == 0 {
			out = p.endLine(out, nil, nil, false)
			continue
		}
		// One byte more than the window shows that the body goes on behind it.
		if len(rest) <= window {
			break
		}
		used := p.putPiece(rest[:window], true)
		out = p.endLine(out, used, nil, false)
		rest = rest[len(used):]
	}
	p.pending = append(p.pending[:0], rest...)
	return out
}

// Finish ends the part: appends what is left, with the tail.
func (p *Part) Finish(out []byte, tail *Tail) []byte {
	out = p.begin(out)
	rest := p.pending
	var last piece
	for len(rest) > 0 {
		window := min(p.window(), len(rest))
		if window == 0 {
			out = p.endLine(out, nil, nil, false)
			continue
		}
		last = p.putPiece(rest[:window], window < len(rest))
		rest = rest[len(last):]
		if len(rest) > 0 {
			out = p.endLine(out, last, nil, false)
			last = nil
		}
	}
	p.tail = tail.json(p.tail, p.length, p.crc)
	if out, ended := p.putTail(out, last); ended {
		return out
	}
	out = p.endLine(out, last, nil, false)
	if out, ended := p.putTail(out, nil); ended {
		return out
	}
	return p.putTailFragments(out)
}

// AppendMeta appends a `meta` record.
func AppendMeta(out []byte, id string, head *MetaHead, limit int, signer *Signer) []byte {
	p := NewPart(id, Meta, head, limit, signer)
	out = p.begin(out)
	before := len(p.open)
	p.open = p.appendOf(p.open)
	if len(p.open)+closeBytes > p.limit {
		p.open = p.open[:before]
		out = p.endLine(out, nil, nil, false)
		p.open = p.appendOf(p.open)
	}
	return p.endLine(out, nil, nil, true)
}

// begin is L-4.2: opens the first line with the head, or writes its fragments up to the last.
func (p *Part) begin(out []byte) []byte {
	if len(p.open) > 0 {
		return out
	}
	p.openLine()
	const key = `,"head":`
	if p.signer == nil && len(p.open)+len(key)+len(p.head)+closeBytes <= p.limit {
		p.open = append(append(p.open, key...), p.head...)
		return out
	}
	rest := p.head
	for {
		room := p.limit - len(p.open) - fragmentBytes - closeBytes
		var used int
		p.open = append(p.open, `,"headf":"`...)
		p.open, used = appendEscapedWithin(p.open, rest, room)
		p.open = append(p.open, '"')
		p.headf, rest = rest[:used], rest[used:]
		if len(rest) == 0 {
			return out
		}
		out = p.endLine(out, nil, nil, false)
	}
}

// window is L-4.3 and L-4.4: from how many bytes the next piece may be chosen; 0 where the open line takes none.
func (p *Part) window() int {
	room := p.room()
	switch {
	case room < minRoom:
		return 0
	case p.base64:
		return base64Bytes(room)
	default:
		return room
	}
}

func (p *Part) room() int { return p.limit - len(p.open) - pieceBytes - closeBytes }

// base64Bytes is how many bytes fit as base64; its key is one character shorter than that of text.
func base64Bytes(room int) int { return 3 * ((room + 1) / 4) }

// piece is what of the body stands on a line.
type piece []byte

// putPiece is L-4.5 to L-4.7: writes a piece from the window's start onto the open line.
func (p *Part) putPiece(window []byte, goesOn bool) piece {
	used, isText := p.putText(window, goesOn)
	if !isText {
		p.base64 = true
		used = min(len(window), base64Bytes(p.room()))
		p.open = append(p.open, `,"b64":"`...)
		p.open = base64.StdEncoding.AppendEncode(p.open, window[:used])
	}
	p.open = append(p.open, `","crc":"`...)
	p.open = append(appendCRC(p.open, crc32.ChecksumIEEE(window[:used])), '"')
	return window[:used]
}

func (p *Part) putText(window []byte, goesOn bool) (int, bool) {
	if p.base64 {
		return 0, false
	}
	text := window
	if !utf8.Valid(text) {
		if !goesOn {
			return 0, false
		}
		if text = withoutCutCharacter(text); !utf8.Valid(text) {
			return 0, false
		}
	}
	before, room := len(p.open), p.room()
	p.open = append(p.open, `,"text":"`...)
	start := len(p.open)
	var used int
	p.open, used = appendEscapedWithin(p.open, text, room)
	if len(p.open)-start > (used+2)/3*4 {
		p.open = p.open[:before]
		return 0, false
	}
	return used, true
}

// withoutCutCharacter leaves out a character that the end cuts.
func withoutCutCharacter(text []byte) []byte {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if at := len(text) - back; utf8.RuneStart(text[at]) {
			if !utf8.FullRune(text[at:]) {
				return text[:at]
			}
			return text
		}
	}
	return text
}

// putTail is L-4.9: `of` and the tail onto the open line, which ends the part; false where they do not fit.
func (p *Part) putTail(out []byte, last piece) ([]byte, bool) {
	before := len(p.open)
	p.open = p.appendOf(p.open)
	var signed []byte
	if p.signer != nil {
		signed = p.tail
		p.open = append(p.open, `,"tailf":"`...)
		p.open = append(appendEscaped(p.open, p.tail), '"')
	} else {
		p.open = append(append(p.open, `,"tail":`...), p.tail...)
	}
	if len(p.open)+closeBytes > p.limit {
		p.open = p.open[:before]
		return out, false
	}
	return p.endLine(out, last, signed, true), true
}

// putTailFragments is L-4.10.
func (p *Part) putTailFragments(out []byte) []byte {
	for tail := p.tail; ; {
		before := len(p.open)
		p.open = p.appendOf(p.open)
		room := p.limit - len(p.open) - fragmentBytes - closeBytes
		fragment, used := appendEscapedWithin(nil, tail, room)
		isLast := used == len(tail)
		if !isLast {
			p.open = p.open[:before]
		}
		p.open = append(append(append(p.open, `,"tailf":"`...), fragment...), '"')
		out = p.endLine(out, nil, tail[:used], isLast)
		if tail = tail[used:]; isLast {
			return out
		}
	}
}

func (p *Part) appendOf(line []byte) []byte {
	return strconv.AppendUint(append(line, `,"of":`...), p.seq+1, 10)
}

func (p *Part) openLine() {
	p.open = append(append(p.open[:0], `{"cap1":"`...), p.id...)
	p.open = append(append(p.open, `","part":"`...), p.name...)
	p.open = strconv.AppendUint(append(p.open, `","seq":`...), p.seq, 10)
}

// endLine gives the open line out and, where it is not the last, opens the next.
func (p *Part) endLine(out []byte, body piece, tailf []byte, isLast bool) []byte {
	out = append(out, p.open...)
	if p.signer != nil {
		out = p.signer.appendSignature(out, p, body, tailf, isLast)
	}
	out = append(out, '}', '\n')
	p.headf = nil
	if !isLast {
		p.seq++
		p.openLine()
	}
	return out
}
