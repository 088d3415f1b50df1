//go:build unix

package reassemble

import (
	"os"
	"syscall"
)

// duplicate gives a descriptor of the emitter's own for one that is open. A write to a closed pipe then is an error here: on descriptors 1 and
// 2 themselves it would be a signal that ends the program.
func duplicate(descriptor int, name string) (*os.File, error) {
	// No program that is started meanwhile must inherit it.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	own, err := syscall.Dup(descriptor)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(own)
	return os.NewFile(uintptr(own), name), nil
}
