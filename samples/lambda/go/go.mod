module github.com/reassemble/reassemble/samples/lambda/go

go 1.26

require (
	github.com/aws/aws-lambda-go v1.55.1
	github.com/reassemble/reassemble/emitter/go v0.0.0
)

replace github.com/reassemble/reassemble/emitter/go => ../../../emitter/go
