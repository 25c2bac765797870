package net

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// dropNetAdmin takes CAP_NET_ADMIN from the calling thread, which must never
// serve another goroutine.
func dropNetAdmin() {
	runtime.LockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		panic(err)
	}
	data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	data[0].Permitted &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(&head, &data[0]); err != nil {
		panic(err)
	}
}
