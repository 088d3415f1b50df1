// Answers HTTP, whether an API Gateway, a load balancer or a function URL sends the event.
package main

import (
	"context"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"

	reassemble "github.com/reassemble/reassemble/emitter/go"
)

// event holds what the forms of an HTTP request have that is used here.
type event struct {
	RawPath, Path         string
	Headers               map[string]string
	MultiValueHeaders     map[string][]string
	QueryStringParameters map[string]string
	Body                  string
	IsBase64Encoded       bool
}

type answer struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers,omitempty"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitempty"`
	Cookies           []string            `json:"cookies,omitempty"`
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

func main() {
	emitter, err := reassemble.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: emitter.Transport(http.DefaultTransport)}
	lambda.Start(emitter.Lambda(lambda.NewHandler(func(ctx context.Context, asked event) (*answer, error) {
		path := asked.RawPath + asked.Path // an event has one of the two
		log.Printf("asked for\n  %s", path)
		if strings.HasSuffix(path, "/call") {
			called, err := call(ctx, client, asked.QueryStringParameters["to"])
			return answered(&asked, "text/plain", called), err
		}
		body := []byte(asked.Body)
		if asked.IsBase64Encoded {
			var err error
			if body, err = base64.StdEncoding.DecodeString(asked.Body); err != nil {
				return nil, err
			}
		}
		return answered(&asked, asked.contentType(), body), nil
	})))
}

// call asks whoever is named: it shares the invocation's trace, which the context carries.
func call(ctx context.Context, client *http.Client, to string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader("called"))
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// contentType is the event's; a load balancer may give headers as lists alone.
func (e *event) contentType() string {
	for name, value := range e.Headers {
		if strings.EqualFold(name, "content-type") {
			return value
		}
	}
	for name, values := range e.MultiValueHeaders {
		if strings.EqualFold(name, "content-type") && len(values) > 0 {
			return values[0]
		}
	}
	return "text/plain"
}

// answered has two cookies, in the form that the event's sender takes.
func answered(to *event, contentType string, body []byte) *answer {
	made := &answer{StatusCode: http.StatusOK, Body: base64.StdEncoding.EncodeToString(body), IsBase64Encoded: true}
	cookies := []string{"visit=1", "seen=2"}
	if to.MultiValueHeaders != nil {
		made.MultiValueHeaders = map[string][]string{"content-type": {contentType}, "set-cookie": cookies}
	} else {
		made.Headers, made.Cookies = map[string]string{"content-type": contentType}, cookies
	}
	return made
}
