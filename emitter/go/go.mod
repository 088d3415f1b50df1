module github.com/reassemble/reassemble/emitter/go

go 1.26
