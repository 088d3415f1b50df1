module github.com/reassemble/reassemble/samples/go

go 1.26

require github.com/reassemble/reassemble/emitter/go v0.0.0

replace github.com/reassemble/reassemble/emitter/go => ../../emitter/go
