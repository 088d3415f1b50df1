#!/bin/sh
# Answers vectors: JSON lines in, JSON lines out. See the README.
set -e
cd "$(dirname "$0")"
mvn -q test-compile >&2
exec java -cp target/classes:target/test-classes io.reassemble.emitter.Conformance
