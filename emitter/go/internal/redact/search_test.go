package redact

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestASearchFindsWhatEachOfItsTextsIsFoundBy(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	draw := func(letters string, length int) string {
		text := make([]byte, length)
		for at := range text {
			text[at] = letters[random.IntN(len(letters))]
		}
		return string(text)
	}
	found := 0
	for range 20_000 {
		var texts []string
		for range 1 + random.IntN(4) {
			texts = append(texts, draw("abz\\", 1+random.IntN(5)))
		}
		in := draw("abzABZ\\\xe9", random.IntN(30))
		want := false
		for _, text := range texts {
			want = want || strings.Contains(strings.ToLower(in), text)
		}
		if want {
			found++
		}
		if got := newSearch(texts...).finds([]byte(in)); got != want {
			t.Fatalf("%q in %q: found %t, want %t", texts, in, got, want)
		}
	}
	if found < 5000 || found > 15_000 {
		t.Errorf("%d of 20000 hold one", found)
	}
	if !newSearch("a", "").finds(nil) || newSearch().finds([]byte("a")) {
		t.Error("the empty text is everywhere, and none nowhere")
	}
}

func TestABodyWithoutListedNamesIsNotRead(t *testing.T) {
	r := New()
	r.AddName("Pin")
	for body, isRead := range map[string]bool{
		`{"a":`: false, `{"PASSWORD":`: true, `{"a\u0070in":`: true, `{"pIn":`: true, `{"pi\n":`: false,
	} {
		if redacted, ok := r.JSON([]byte(body)); ok == isRead || ok && string(redacted) != body {
			t.Errorf("%s became %q, %t", body, redacted, ok)
		}
	}
	r = New()
	r.AddName("*")
	if redacted, ok := r.JSON([]byte(`{"a":1}`)); !ok || string(redacted) != `{"a":"[redacted]"}` {
		t.Errorf("%q, %t", redacted, ok)
	}
}
