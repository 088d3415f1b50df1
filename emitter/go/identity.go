package reassemble

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"strings"
	"time"
)

// drawID draws a UUIDv7 for a capture that begins at the given time.
func drawID(at time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16)
	rand.Read(id[6:]) // never fails: see crypto/rand
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	var text [36]byte
	hex.Encode(text[:8], id[:4])
	hex.Encode(text[9:13], id[4:6])
	hex.Encode(text[14:18], id[6:8])
	hex.Encode(text[19:23], id[8:10])
	hex.Encode(text[24:], id[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// drawInstance draws a process's name for itself.
func drawInstance() string { return drawHex() }

// drawHex draws 8 bytes that are not all zeros, which means none.
func drawHex() string {
	var drawn [8]byte
	for drawn == [8]byte{} {
		rand.Read(drawn[:]) // never fails: see crypto/rand
	}
	return hex.EncodeToString(drawn[:])
}

// TraceParent is a W3C traceparent that is valid as a whole: `00-<32 hex>-<16 hex>-<2 hex>`. The zero value is none.
type TraceParent struct{ text string }

// traceParentBytes is the length of a traceparent of version 00.
const traceParentBytes = 55

// ParseTraceParent reads a header's value; false where it is none that the standard lets pass.
func ParseTraceParent(text string) (TraceParent, bool) {
	if len(text) < traceParentBytes || len(text) > 256 || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return TraceParent{}, false
	}
	version, trace, span, flags := text[:2], text[3:35], text[36:52], text[53:55]
	if !isLowerHex(version) || !isLowerHex(trace) || !isLowerHex(span) || !isLowerHex(flags) || version == "ff" {
		return TraceParent{}, false
	}
	if strings.Trim(trace, "0") == "" || strings.Trim(span, "0") == "" {
		return TraceParent{}, false
	}
	if len(text) > traceParentBytes && (version == "00" || text[traceParentBytes] != '-' || !isPrintable(text)) {
		return TraceParent{}, false
	}
	return TraceParent{text}, true
}

// drawTraceParent makes a new trace, marked as sampled.
func drawTraceParent() TraceParent {
	// Both ids at once, for each drawing asks the system.
	var drawn [24]byte
	for [16]byte(drawn[:16]) == [16]byte{} || [8]byte(drawn[16:]) == [8]byte{} {
		rand.Read(drawn[:]) // never fails: see crypto/rand
	}
	text := hex.AppendEncode(append(make([]byte, 0, traceParentBytes), "00-"...), drawn[:16])
	text = hex.AppendEncode(append(text, '-'), drawn[16:])
	return TraceParent{string(append(text, "-01"...))}
}

// child is the same trace with a span of its own, as an outbound call bears it.
func (t TraceParent) child() TraceParent {
	return TraceParent{"00-" + t.TraceID() + "-" + drawHex() + t.text[52:traceParentBytes]}
}

// IsZero tells whether there is no trace.
func (t TraceParent) IsZero() bool { return t.text == "" }

// TraceID gives the 32 hex digits that all of a trace shares; empty where there is no trace.
func (t TraceParent) TraceID() string {
	if t.IsZero() {
		return ""
	}
	return t.text[3:35]
}

// String gives the header's value; empty where there is no trace.
func (t TraceParent) String() string { return t.text }

func isLowerHex(text string) bool {
	for at := range len(text) {
		if b := text[at]; (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}

func isPrintable(text string) bool {
	for at := range len(text) {
		if text[at] < ' ' || text[at] > '~' {
			return false
		}
	}
	return true
}

// isSampled tells whether sampling at a rate takes what key names: the same answer in every process and language.
func isSampled(key string, rate float64) bool {
	return rate >= 1 || float64(crc32.ChecksumIEEE([]byte(key))) < rate*(1<<32)
}
