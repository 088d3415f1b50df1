package reassemble

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// kindOf names a fault of the app's or of a database by its code or type: what it says may hold anything. The network's own faults say no more than
// addresses.
func kindOf(err error) string {
	var coded interface{ SQLState() string }
	var network *net.OpError
	switch {
	case errors.As(err, &coded):
		return coded.SQLState()
	case errors.As(err, &network):
		return network.Error()
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return fmt.Sprintf("%T", err)
}
