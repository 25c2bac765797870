package kvm

import gokvm "github.com/bobuhiro11/gokvm/kvm"

// Register and state structs, laid out as the kernel's.
type (
	// Regs are the general-purpose registers (kvm_regs).
	Regs = gokvm.Regs
	// SRegs are the segment, control and APIC base registers (kvm_sregs).
	SRegs = gokvm.Sregs
	// SRegs2 is SRegs with the PAE page-directory pointers in place of the
	// pending-interrupt bitmap (kvm_sregs2, CapSRegs2).
	SRegs2 = gokvm.SRegs2
	// Segment is a segment register with its hidden part (kvm_segment).
	Segment = gokvm.Segment
	// Descriptor is GDTR or IDTR (kvm_dtable).
	Descriptor = gokvm.Descriptor
	// DebugRegs are DR0-DR3, DR6 and DR7 (kvm_debugregs).
	DebugRegs = gokvm.DebugRegs
	// XCRS are the extended control registers (kvm_xcrs).
	XCRS = gokvm.XCRS
	// LAPICState is the 1 KiB register page of a local APIC (kvm_lapic_state).
	LAPICState = gokvm.LAPICState
	// VCPUEvents are the pending exceptions, interrupts and NMIs
	// (kvm_vcpu_events).
	VCPUEvents = gokvm.VCPUEvents
	// Translation is a guest-virtual address translated (kvm_translation).
	Translation = gokvm.Translation
	// CPUIDEntry is one CPUID leaf or subleaf (kvm_cpuid_entry2).
	CPUIDEntry = gokvm.CPUIDEntry2
	// MSREntry is one model-specific register and its value (kvm_msr_entry).
	MSREntry = gokvm.MSREntry
	// PICState is the state of one 8259A (kvm_pic_state).
	PICState = gokvm.PICState
	// ClockData is the state of kvmclock (kvm_clock_data).
	ClockData = gokvm.ClockData

	userMemoryRegion = gokvm.UserspaceMemoryRegion
	irqChip          = gokvm.IRQChip
	createDevice     = gokvm.Device
)

// FPU is the x87 and SSE state (kvm_fpu).
type FPU struct {
	FPR        [8][16]byte
	FCW        uint16
	FSW        uint16
	FTWX       uint8 // tag word, one bit a register, as FXSAVE stores it
	_          uint8
	LastOpcode uint16
	LastIP     uint64
	LastDP     uint64
	XMM        [16][16]byte
	MXCSR      uint32
	_          uint32
}

// IOAPICPins is the number of input pins of the in-kernel I/O APIC.
const IOAPICPins = 24

// IOAPICState is the state of the in-kernel I/O APIC (kvm_ioapic_state).
type IOAPICState struct {
	BaseAddress uint64
	IORegSel    uint32
	ID          uint32
	IRR         uint32
	_           uint32
	RedirTbl    [IOAPICPins]uint64 // redirection entries, 82093AA datasheet 3.2.4
}

// Bits of CPUIDEntry.Flags.
const (
	CPUIDSignificantIndex uint32 = 1 << 0 // Index is part of the key
)

// Bits of VCPUEvents.Flags: which optional fields KVM_SET_VCPU_EVENTS applies.
const (
	VCPUEventNMIPending  uint32 = 1 << 0
	VCPUEventSIPIVector  uint32 = 1 << 1
	VCPUEventShadow      uint32 = 1 << 2
	VCPUEventSMM         uint32 = 1 << 3
	VCPUEventPayload     uint32 = 1 << 4
	VCPUEventTripleFault uint32 = 1 << 5
)

// Bits of ClockData.Flags.
const (
	ClockTSCStable = uint32(gokvm.TSCStable)
	ClockRealtime  = uint32(gokvm.Realtime)
	ClockHostTSC   = uint32(gokvm.HostTSC)
)

// MPState is a vCPU's multiprocessing state (kvm_mp_state).
type MPState uint32

// Multiprocessing states of an x86 vCPU.
const (
	MPRunnable      = MPState(gokvm.MPStateRunnable)
	MPUninitialized = MPState(gokvm.MPStateUninitialized) // an AP waiting for INIT
	MPInitReceived  = MPState(gokvm.MPStateInitReceived)  // an AP waiting for SIPI
	MPHalted        = MPState(gokvm.MPStateHalted)
	MPSIPIReceived  = MPState(gokvm.MPStateSipiReceived)
)

// String is the state's name in lower case.
func (s MPState) String() string {
	switch s {
	case MPRunnable:
		return "runnable"
	case MPUninitialized:
		return "uninitialized"
	case MPInitReceived:
		return "init received"
	case MPHalted:
		return "halted"
	case MPSIPIReceived:
		return "sipi received"
	default:
		return "unknown"
	}
}
