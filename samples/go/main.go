// A small net/http app whose requests and calls are captured: `PORT=8080 go run .`
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	reassemble "github.com/reassemble/reassemble/emitter/go"
)

func main() {
	emitter, err := reassemble.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: emitter.Transport(http.DefaultTransport)}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Write(body)
	})
	// Asks whoever is named: the call shares this request's trace, which its context carries.
	mux.HandleFunc("GET /call", func(w http.ResponseWriter, r *http.Request) {
		call, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.URL.Query().Get("to"), strings.NewReader("called"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer, err := client.Do(call)
		if err != nil {
			http.Error(w, "nobody answers", http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		io.Copy(w, answer.Body)
	})

	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), Handler: emitter.Middleware(mux)}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	go func() {
		<-stop.Done()
		ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ending)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-stop.Done()
	// Writes what is queued.
	emitter.Close()
}
