// Package vmm builds and runs one machine.
//
// A Machine is made of a domain (package domcfg) by New, which opens every
// host resource and builds every device in one explicit list (board.go), and
// touches no guest code. Run then executes it until the guest has ended, or
// Start, Wait and the control methods do the same step by step. Close gives
// everything back, whatever state the machine is in.
//
//	m, err := vmm.New(ctx, domain, vmm.Options{})
//	if err != nil {
//		return err
//	}
//	defer m.Close()
//	exit, err := m.Run(ctx)
//
// Machines are independent: any number of them live in one process. Nothing in
// the package is global.
//
// The methods of a Machine may be called from any goroutine.
package vmm
