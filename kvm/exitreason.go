package kvm

import "strconv"

// ExitReason is why KVM_RUN returned (kvm_run.exit_reason).
type ExitReason uint32

// Exit reasons. Those of other architectures are left out; String knows their
// names all the same.
const (
	ExitUnknown       ExitReason = 0 // Exit.HardwareReason
	ExitException     ExitReason = 1
	ExitIO            ExitReason = 2 // Exit.IO
	ExitHypercall     ExitReason = 3 // Exit.Hypercall
	ExitDebug         ExitReason = 4 // Exit.Debug
	ExitHLT           ExitReason = 5 // only without an in-kernel controller
	ExitMMIO          ExitReason = 6 // Exit.MMIO
	ExitIRQWindowOpen ExitReason = 7
	ExitShutdown      ExitReason = 8  // triple fault
	ExitFailEntry     ExitReason = 9  // Exit.FailEntry
	ExitIntr          ExitReason = 10 // see VCPU.Run
	ExitSetTPR        ExitReason = 11
	ExitTPRAccess     ExitReason = 12 // Exit.TPRAccess
	ExitNMI           ExitReason = 16
	ExitInternalError ExitReason = 17 // Exit.InternalError
	ExitWatchdog      ExitReason = 21
	ExitSystemEvent   ExitReason = 24 // Exit.SystemEvent
	ExitIOAPICEOI     ExitReason = 26 // Exit.EOIVector
	ExitHyperV        ExitReason = 27 // Exit.HyperV
	ExitX86RDMSR      ExitReason = 29 // Exit.MSR
	ExitX86WRMSR      ExitReason = 30 // Exit.MSR
	ExitDirtyRingFull ExitReason = 31
	ExitAPResetHold   ExitReason = 32
	ExitX86BusLock    ExitReason = 33
	ExitXen           ExitReason = 34
	ExitNotify        ExitReason = 37 // Exit.NotifyContextInvalid
	ExitMemoryFault   ExitReason = 39 // Exit.MemoryFault
	ExitTDX           ExitReason = 40
)

// String is the reason's name in the KVM API.
func (r ExitReason) String() string {
	if name := r.name(); name != "" {
		return "KVM_EXIT_" + name
	}
	return "KVM_EXIT_" + strconv.Itoa(int(r))
}

func (r ExitReason) name() string {
	names := [...]string{
		"UNKNOWN", "EXCEPTION", "IO", "HYPERCALL", "DEBUG", "HLT", "MMIO", "IRQ_WINDOW_OPEN",
		"SHUTDOWN", "FAIL_ENTRY", "INTR", "SET_TPR", "TPR_ACCESS", "S390_SIEIC", "S390_RESET", "DCR",
		"NMI", "INTERNAL_ERROR", "OSI", "PAPR_HCALL", "S390_UCONTROL", "WATCHDOG", "S390_TSCH", "EPR",
		"SYSTEM_EVENT", "S390_STSI", "IOAPIC_EOI", "HYPERV", "ARM_NISV", "X86_RDMSR", "X86_WRMSR",
		"DIRTY_RING_FULL", "AP_RESET_HOLD", "X86_BUS_LOCK", "XEN", "RISCV_SBI", "RISCV_CSR", "NOTIFY",
		"LOONGARCH_IOCSR", "MEMORY_FAULT", "TDX", "ARM_SEA",
	}
	if uint64(r) < uint64(len(names)) {
		return names[r]
	}
	return ""
}
