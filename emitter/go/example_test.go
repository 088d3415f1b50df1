package reassemble_test

import (
	"context"
	"log"
	"net/http"

	reassemble "github.com/reassemble/reassemble/emitter/go"
)

func Example() {
	emitter, err := reassemble.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	defer emitter.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello")) })
	log.Print(http.ListenAndServe(":8080", emitter.Middleware(mux)))
}

func ExampleEmitter_Transport() {
	var emitter *reassemble.Emitter
	client := &http.Client{Transport: emitter.Transport(nil)}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		// With the request's context the call bears its trace and names it.
		ask, _ := http.NewRequestWithContext(r.Context(), "GET", "http://stock.test/items", nil)
		answer, err := client.Do(ask)
		if err != nil {
			http.Error(w, "no stock", http.StatusBadGateway)
			return
		}
		answer.Body.Close()
	})
}

func ExampleEmitter_Begin() {
	var emitter *reassemble.Emitter
	ctx := context.Background()

	query := emitter.Begin(ctx, "postgres", "query", "postgres://db/shop").Tag("pool", "main").Start()
	query.RequestBody([]byte("select name from items"))
	query.Respond("00000")
	query.ResponseBody([]byte(`[["tea"],["cup"]]`))
	query.Finish()

	event := emitter.Begin(ctx, "kafka", "produce", "kafka://broker/orders").OneWay().Start()
	event.RequestBody([]byte(`{"order":7}`))
	event.Finish()
}
