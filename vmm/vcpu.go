package vmm

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/kvm"
)

// vcpu is one virtual processor and the thread that runs it.
type vcpu struct {
	kvm   *kvm.VCPU
	id    int
	gate  *gate
	ports *bus.Bus
	mmio  *bus.Bus
	// died is told why the guest cannot go on. It shuts the gate.
	died func(Exit)
	// prepare is called first, on the vCPU's thread.
	prepare func() error

	tid     atomic.Int32 // of the thread, once it runs
	pending bool         // the last exit's answer has not been taken by KVM yet
}

// kick makes the vCPU leave the guest, or not enter it. The gate must have been
// shut before: run looks there.
func (v *vcpu) kick() {
	v.kvm.SetImmediateExit(true)
	if tid := v.tid.Load(); tid != 0 {
		// It fails only for a thread that is gone, which is what we want.
		_ = kvm.Kick(int(tid))
	}
}

// run is the body of the vCPU's thread, until the gate ends. The thread ends
// with it: the goroutine is never unlocked, so that nothing else inherits the
// affinity, priority and name that a vCPU thread may be given.
func (v *vcpu) run() {
	runtime.LockOSThread()
	if onFirstThread() { // it would not end, and its name is that of the process
		defer runtime.UnlockOSThread()
		var other sync.WaitGroup
		other.Go(v.run)
		other.Wait()
		return
	}
	v.tid.Store(int32(unix.Gettid()))
	defer v.tid.Store(0)
	defer v.recovered()
	if err := v.prepare(); err != nil {
		v.died(Exit{Cause: CauseHost, Source: v.name(), Detail: err.Error()})
	}
	for {
		if v.gate.closed() {
			v.settle()
			if !v.gate.pass() {
				return
			}
			v.kvm.SetImmediateExit(false)
			continue // the gate may have been shut again meanwhile
		}
		reason, err := v.kvm.Run()
		if err != nil {
			v.died(v.runFailed(err))
			continue
		}
		v.handle(reason)
	}
}

// recovered ends the machine, not the program with its other machines, when a
// device fails in a way that it should not.
func (v *vcpu) recovered() {
	if fault := recover(); fault != nil {
		v.died(Exit{Cause: CauseHost, Source: v.name(), Detail: fmt.Sprintf("fault of this program: %v\n%s", fault, debug.Stack())})
		v.gate.leave()
	}
}

// handle answers an exit, or ends the guest because of it.
func (v *vcpu) handle(reason kvm.ExitReason) {
	v.pending = false
	switch reason {
	case kvm.ExitIO:
		v.portIO()
		v.pending = true
	case kvm.ExitMMIO:
		v.memoryIO()
		v.pending = true
	case kvm.ExitIntr:
		// A kick may come late, when the gate is open again. Its flag must not
		// keep the vCPU out of the guest; run looks at the gate before it enters.
		v.kvm.SetImmediateExit(false)
	default:
		v.other(reason)
	}
}

// settle lets KVM take the answer to an access that the guest is in the middle
// of, without running the guest, so that the registers are those between two
// instructions. It may bring the next part of a split access or a string
// instruction; KVM itself bounds how many.
func (v *vcpu) settle() {
	for v.pending {
		reason, err := v.kvm.Complete()
		if err != nil {
			v.pending = false // there is nothing more to take
			return
		}
		v.handle(reason)
	}
}

// portIO answers a port access: one, or as many as a string instruction makes
// of the same port.
func (v *vcpu) portIO() {
	io := v.kvm.Exit().IO()
	port := uint64(io.Port)
	for data := io.Data; len(data) >= io.Size && io.Size > 0; data = data[io.Size:] {
		unit := data[:io.Size:io.Size]
		if io.Out {
			v.ports.Write(port, unit)
		} else {
			v.ports.Read(port, unit)
		}
	}
}

// memoryIO answers an access to memory that is not RAM.
func (v *vcpu) memoryIO() {
	m := v.kvm.Exit().MMIO()
	if m.Write {
		v.mmio.Write(m.GPA, m.Data)
	} else {
		v.mmio.Read(m.GPA, m.Data)
	}
}

// other handles the exits that end the guest, or that no guest of ours makes.
func (v *vcpu) other(reason kvm.ExitReason) {
	switch reason {
	case kvm.ExitShutdown:
		v.died(Exit{Cause: CauseReset, Source: sourceTripleFault, Detail: v.tripleFault()})
	case kvm.ExitInternalError:
		e := v.kvm.Exit().InternalError()
		v.died(Exit{Cause: CauseInternalError, Source: v.name(), Detail: v.internalError(&e)})
	case kvm.ExitFailEntry:
		v.died(Exit{Cause: CauseFailedEntry, Source: v.name(), Detail: v.failedEntry()})
	case kvm.ExitSystemEvent:
		v.systemEvent()
	case kvm.ExitIRQWindowOpen, kvm.ExitHLT, kvm.ExitNMI:
		// Left over from a request that nobody made; the guest goes on.
	default:
		v.died(Exit{Cause: CauseInternalError, Source: v.name(),
			Detail: fmt.Sprintf("exit %v, which this machine has no use for; %s", reason, v.registers())})
	}
}

// systemEvent is a guest that asks KVM itself for a reset or tells it of a
// crash, through a paravirtual interface.
func (v *vcpu) systemEvent() {
	e := v.kvm.Exit().SystemEvent()
	switch e.Type {
	case kvm.SystemEventShutdown:
		v.died(Exit{Cause: CausePowerOff, Source: "KVM system event"})
	case kvm.SystemEventReset:
		v.died(Exit{Cause: CauseReset, Source: "KVM system event"})
	case kvm.SystemEventCrash:
		v.died(Exit{Cause: CausePanic, Source: "KVM system event", Detail: fmt.Sprintf("crash parameters %#x", e.Data)})
	}
}

func (v *vcpu) name() string { return fmt.Sprintf("vCPU %d", v.id) }
