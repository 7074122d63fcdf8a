package bank

import "syscall"

// ownGroup starts a process in a group of its own that ends with us, however we end.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
