package line

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
)

// signatureBytes is `,"sig":"` and `"`, and the hex digits between.
const signatureBytes = 9 + 32

// Why a text is no secret. The secret is not told.
var (
	ErrSecretCharacters = errors.New("the secret holds other than printable ASCII characters without white space")
	ErrSecretShort      = errors.New("the secret is shorter than 32 characters: take what `openssl rand -hex 32` prints")
	ErrSecretLong       = errors.New("the secret is longer than 1024 characters")
)

// MaxSecretBytes is the longest secret.
const MaxSecretBytes = 1024

// CheckSecret tells whether a text can be a secret (L-8.5).
func CheckSecret(secret string) error {
	for at := range len(secret) {
		if secret[at] <= ' ' || secret[at] > '~' {
			return ErrSecretCharacters
		}
	}
	switch {
	case len(secret) < 32:
		return ErrSecretShort
	case len(secret) > MaxSecretBytes:
		return ErrSecretLong
	}
	return nil
}

// Signer signs lines (L-8.1). It serves one goroutine.
type Signer struct {
	mac     hash.Hash
	prelude []byte
	sum     []byte
}

// NewSigner makes a signer of a secret that CheckSecret lets pass.
func NewSigner(secret string) *Signer {
	return &Signer{mac: hmac.New(sha256.New, []byte(secret))}
}

func (s *Signer) appendSignature(out []byte, p *Part, body piece, tailf []byte, isLast bool) []byte {
	b := append(append(s.prelude[:0], p.id...), ' ')
	b = append(append(b, p.name...), ' ')
	b = append(strconv.AppendUint(b, p.seq, 10), ' ')
	if isLast {
		b = strconv.AppendUint(b, p.seq+1, 10)
	} else {
		b = append(b, '-')
	}
	b = append(b, " - "...)
	b = append(strconv.AppendInt(b, int64(len(p.headf)), 10), ' ')
	b = append(strconv.AppendInt(b, int64(len(body)), 10), ' ')
	b = append(strconv.AppendInt(b, int64(len(tailf)), 10), '\n')
	b = append(b, p.headf...)
	s.prelude = b
	s.mac.Reset()
	s.mac.Write(b)
	s.mac.Write(body)
	s.mac.Write(tailf)
	s.sum = s.mac.Sum(s.sum[:0])
	out = append(out, `,"sig":"`...)
	return append(hex.AppendEncode(out, s.sum[:16]), '"')
}
