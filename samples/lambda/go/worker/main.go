// Takes orders off a queue; a batch with one that is no JSON fails whole.
package main

import (
	"context"
	"encoding/json"
	"log"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	reassemble "github.com/reassemble/reassemble/emitter/go"
)

func main() {
	emitter, err := reassemble.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(emitter.Lambda(lambda.NewHandler(work)))
}

func work(_ context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	for _, message := range batch.Records {
		var order struct {
			Item string
			Qty  int
		}
		if err := json.Unmarshal([]byte(message.Body), &order); err != nil {
			return events.SQSEventResponse{}, err
		}
		log.Printf("%d\n  of %s", order.Qty, order.Item)
	}
	return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}, nil
}
