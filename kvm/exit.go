package kvm

import (
	"fmt"
	"strings"
	"unsafe"
)

// Exit is a vCPU's kvm_run page. The accessors decode it in place: they do not
// allocate, and what they return is valid until the next Run. Each is
// meaningful only for its exit reason.
type Exit struct {
	mem []byte // the whole mapping
	run *runPage
}

// Reason is why the last Run returned.
func (e *Exit) Reason() ExitReason { return ExitReason(e.run.exitReason) }

// ReadyForInterrupt reports whether VCPU.Interrupt would be accepted; it is of
// use without an in-kernel controller.
func (e *Exit) ReadyForInterrupt() bool { return e.run.readyForInterrupt != 0 }

// InterruptFlag is the guest's RFLAGS.IF.
func (e *Exit) InterruptFlag() bool { return e.run.ifFlag != 0 }

// InSMM reports whether the vCPU is in system management mode.
func (e *Exit) InSMM() bool { return e.run.flags&runFlagSMM != 0 }

// APICBase is the guest's IA32_APIC_BASE.
func (e *Exit) APICBase() uint64 { return e.run.apicBase }

func (e *Exit) data() unsafe.Pointer { return unsafe.Pointer(&e.run.data) }

// IOExit is a port access (ExitIO).
type IOExit struct {
	Out   bool   // the guest writes
	Size  int    // 1, 2 or 4 bytes a unit
	Port  uint16 // the same for all units
	Count int    // units; more than 1 for a string instruction (rep ins, rep outs)
	// Data has Size*Count bytes in the run page: what the guest wrote, or where
	// the answer to its read goes before the next Run.
	Data []byte
}

// IO decodes a port access.
func (e *Exit) IO() IOExit {
	x := (*struct {
		direction uint8
		size      uint8
		port      uint16
		count     uint32
		offset    uint64 // from the start of the run page
	})(e.data())
	io := IOExit{Out: x.direction == 1, Size: int(x.size), Port: x.port, Count: int(x.count)}
	// The numbers are the kernel's own, so this holds; if it ever did not, the
	// access would find no data rather than memory that is not its own.
	n, room := uint64(x.size)*uint64(x.count), uint64(len(e.mem))
	if x.offset <= room && n <= room-x.offset {
		io.Data = e.mem[x.offset : x.offset+n : x.offset+n]
	}
	return io
}

// MMIOExit is an access to guest-physical memory that no slot backs (ExitMMIO).
type MMIOExit struct {
	GPA   uint64
	Write bool // the guest writes
	// Data has the 1 to 8 bytes of the access in the run page: what the guest
	// wrote, or where the answer to its read goes before the next Run.
	Data []byte
}

// MMIO decodes a memory-mapped access.
func (e *Exit) MMIO() MMIOExit {
	x := (*struct {
		gpa   uint64
		data  [8]byte
		len   uint32
		write uint8
	})(e.data())
	return MMIOExit{GPA: x.gpa, Write: x.write != 0, Data: x.data[:min(x.len, 8):min(x.len, 8)]}
}

// HardwareReason is the processor's own exit reason (ExitUnknown).
func (e *Exit) HardwareReason() uint64 { return e.run.data[0] }

// FailEntry is a processor that refused to enter the guest, as a rule because
// its state is not valid (ExitFailEntry).
type FailEntry struct {
	HardwareReason uint64 // VMX: exit reason with bit 31 set; SVM: exit code
	CPU            uint32 // the host processor
}

// FailEntry decodes a failed entry.
func (e *Exit) FailEntry() FailEntry {
	x := (*struct {
		reason uint64
		cpu    uint32
	})(e.data())
	return FailEntry{HardwareReason: x.reason, CPU: x.cpu}
}

// Suberrors of an InternalError.
const (
	InternalErrorEmulation        = 1
	InternalErrorSimulEx          = 2
	InternalErrorDeliveryEvent    = 3
	InternalErrorUnexpectedReason = 4
)

// InternalError is a guest that KVM cannot run on (ExitInternalError).
type InternalError struct {
	Suberror uint32
	NData    int // valid elements of Data
	Data     [16]uint64
}

// InternalError decodes an internal error.
func (e *Exit) InternalError() InternalError {
	x := (*struct {
		suberror uint32
		ndata    uint32
		data     [16]uint64
	})(e.data())
	return InternalError{Suberror: x.suberror, NData: int(min(x.ndata, 16)), Data: x.data}
}

// Instruction is the bytes of the instruction that KVM could not emulate, up to
// 15 of them and perhaps more than the instruction has; nil when it is another
// error or the kernel does not say.
//
// data[0] is a set of flags, of which bit 0 says that data[1] and data[2] hold
// the length and the bytes (kvm_run.emulation_failure).
func (i *InternalError) Instruction() []byte {
	const flagInstructionBytes = 1 << 0
	if i.Suberror != InternalErrorEmulation || i.NData < 3 || i.Data[0]&flagInstructionBytes == 0 {
		return nil
	}
	b := (*[16]byte)(unsafe.Pointer(&i.Data[1]))
	n := min(b[0], 15)
	return b[1 : 1+n]
}

// String explains the error in one line.
func (i *InternalError) String() string {
	switch i.Suberror {
	case InternalErrorEmulation:
		if insn := i.Instruction(); len(insn) > 0 {
			return fmt.Sprintf("KVM cannot emulate the instruction, bytes % x", insn)
		}
		return "KVM cannot emulate the instruction"
	case InternalErrorSimulEx:
		return "simultaneous exceptions" + i.rawData()
	case InternalErrorDeliveryEvent:
		return "exit during the delivery of an event" + i.rawData()
	case InternalErrorUnexpectedReason:
		return "unexpected hardware exit" + i.rawData()
	default:
		return fmt.Sprintf("suberror %d", i.Suberror) + i.rawData()
	}
}

func (i *InternalError) rawData() string {
	var b strings.Builder
	for _, d := range i.Data[:i.NData] {
		fmt.Fprintf(&b, " %#x", d)
	}
	if b.Len() == 0 {
		return ""
	}
	return ", data" + b.String()
}

// Types of a SystemEvent.
const (
	SystemEventShutdown = 1
	SystemEventReset    = 2
	SystemEventCrash    = 3
	SystemEventWakeup   = 4
	SystemEventSuspend  = 5
	SystemEventSEVTerm  = 6
)

// SystemEvent is a request of the guest, through a hypervisor interface, to
// shut down, reset or the like (ExitSystemEvent).
type SystemEvent struct {
	Type  uint32
	NData int // valid elements of Data (CapSystemEventData)
	Data  [16]uint64
}

// SystemEvent decodes a system event. A Hyper-V crash has the five crash
// parameters in Data.
func (e *Exit) SystemEvent() SystemEvent {
	x := (*struct {
		typ   uint32
		ndata uint32
		data  [16]uint64
	})(e.data())
	return SystemEvent{Type: x.typ, NData: int(min(x.ndata, 16)), Data: x.data}
}

// DebugExit is a debug exception or breakpoint (ExitDebug).
type DebugExit struct {
	Exception uint32 // vector: 1 #DB, 3 #BP
	_         uint32
	PC        uint64 // linear address
	DR6       uint64
	DR7       uint64
}

// Debug decodes a debug event.
func (e *Exit) Debug() DebugExit { return *(*DebugExit)(e.data()) }

// MSRExit is a guest access to an MSR that user space handles (ExitX86RDMSR,
// ExitX86WRMSR; CapX86UserSpaceMSR). Data and Error are answers, in place.
type MSRExit struct {
	Error  uint8 // 1 injects #GP
	_      [7]byte
	Reason uint32 // MSRExitInval, MSRExitUnknown or MSRExitFilter
	Index  uint32
	Data   uint64
}

// Bits of MSRExit.Reason, and of the argument of CapX86UserSpaceMSR.
const (
	MSRExitInval   = 1 << 0 // not valid for this vCPU
	MSRExitUnknown = 1 << 1 // KVM does not know the MSR
	MSRExitFilter  = 1 << 2 // denied by VM.SetMSRFilter
)

// MSR is the MSR access, in the run page: set Data or Error to answer.
func (e *Exit) MSR() *MSRExit { return (*MSRExit)(e.data()) }

// HypercallExit is a hypercall that user space handles (ExitHypercall;
// CapExitHypercall).
type HypercallExit struct {
	NR   uint64
	Args [6]uint64
	Ret  uint64 // the answer
	// Flags has bit 0 set for a guest in 64-bit mode.
	Flags uint64
}

// Hypercall is the hypercall, in the run page: set Ret to answer.
func (e *Exit) Hypercall() *HypercallExit { return (*HypercallExit)(e.data()) }

// Types of a HyperVExit.
const (
	HyperVSynIC  = 1
	HyperVHcall  = 2
	HyperVSynDbg = 3
)

// HyperVExit is a Hyper-V event that user space handles (ExitHyperV).
type HyperVExit struct {
	Type uint32
	_    uint32
	// Data is by type. SynIC: msr, control, event page, message page. Hcall:
	// input, result (the answer), two parameters. SynDbg: msr, control, status,
	// send, receive and pending page.
	Data [6]uint64
}

// HyperV is the Hyper-V event, in the run page.
func (e *Exit) HyperV() *HyperVExit { return (*HyperVExit)(e.data()) }

// MemoryFault is guest memory that the host could not provide
// (ExitMemoryFault, CapMemoryFaultInfo). It comes with an error from Run.
type MemoryFault struct {
	Flags uint64
	GPA   uint64
	Size  uint64 // bytes
}

// MemoryFault decodes a memory fault.
func (e *Exit) MemoryFault() MemoryFault { return *(*MemoryFault)(e.data()) }

// EOIVector is the vector whose interrupt the guest ended (ExitIOAPICEOI, with
// CapSplitIRQChip).
func (e *Exit) EOIVector() uint8 { return *(*uint8)(e.data()) }

// TPRAccess is the guest's RIP at an access to the task priority register, and
// whether it was a write (ExitTPRAccess).
func (e *Exit) TPRAccess() (rip uint64, write bool) {
	return e.run.data[0], uint32(e.run.data[1]) != 0
}

// NotifyContextInvalid reports whether the guest's state is lost after it
// blocked events for too long (ExitNotify, CapX86NotifyVMExit).
func (e *Exit) NotifyContextInvalid() bool { return uint32(e.run.data[0])&1 != 0 }
