package kvm

import gokvm "github.com/bobuhiro11/gokvm/kvm"

// Cap is a KVM capability (KVM_CAP_*).
type Cap uint32

// Capabilities that a machine needs or makes use of.
const (
	CapIRQChip                = Cap(gokvm.CapIRQChip)
	CapUserMemory             = Cap(gokvm.CapUserMemory)
	CapSetTSSAddr             = Cap(gokvm.CapSetTSSAddr)
	CapExtCPUID               = Cap(gokvm.CapEXTCPUID)
	CapClockSource            = Cap(gokvm.CapClockSource)
	CapNRVCPUs                = Cap(gokvm.CapNRVCPUS)    // a number
	CapNRMemSlots             = Cap(gokvm.CapNRMemSlots) // a number
	CapMPState                = Cap(gokvm.CapMPState)
	CapSyncMMU                = Cap(gokvm.CapSyncMMU) // host mappings may change under the guest
	CapUserNMI                = Cap(gokvm.CapUserNMI)
	CapSetGuestDebug          = Cap(gokvm.CapSetGuestDebug)
	CapIRQRouting             = Cap(gokvm.CapIRQRouting) // a number: GSIs
	CapIRQInjectStatus        = Cap(gokvm.CapIRQInjectStatus)
	CapMCE                    = Cap(gokvm.CapMCE) // a number: banks
	CapIRQFD                  = Cap(gokvm.CapIRQFD)
	CapSetBootCPUID           = Cap(gokvm.CapSetBootCPUID)
	CapIOEventFD              = Cap(gokvm.CapIOEventFD)
	CapSetIdentityMapAddr     = Cap(gokvm.CapSetIdentityMapAddr)
	CapAdjustClock            = Cap(gokvm.CapAdjustClock) // flags of ClockData
	CapVCPUEvents             = Cap(gokvm.CapVCPUEvents)
	CapHyperV                 = Cap(gokvm.CapHyperV)
	CapDebugRegs              = Cap(gokvm.CapDebugRegs)
	CapEnableCap              = Cap(gokvm.CapEnableCap)
	CapXSave                  = Cap(gokvm.CapXSave)
	CapXCRS                   = Cap(gokvm.CapXCRS)
	CapTSCControl             = Cap(gokvm.CapTSCControl)
	CapGetTSCKHz              = Cap(gokvm.CapGetTSCkHz)
	CapMaxVCPUs               = Cap(gokvm.CapMAXVCPUS) // a number
	CapTSCDeadlineTimer       = Cap(gokvm.CapTSCDeadlineTimer)
	CapKVMClockCtrl           = Cap(gokvm.CapKVMClockCtrl)
	CapSignalMSI              = Cap(gokvm.CapSignalMSI)
	CapReadOnlyMem            = Cap(gokvm.CapReadOnlyMEM)
	CapIRQFDResample          = Cap(gokvm.CapIRQFDResample)
	CapDeviceCtrl             = Cap(gokvm.CapDeviceCtrl)
	CapExtEmulCPUID           = Cap(gokvm.CapEXTEmulCPUID)
	CapHyperVTime             = Cap(gokvm.CapHyperVTIME)
	CapEnableCapVM            = Cap(gokvm.CapEnableCAPVM)
	CapCheckExtensionVM       = Cap(gokvm.CapCheckExtentionVM)
	CapDisableQuirks          = Cap(gokvm.CapDisableQuirks)
	CapX86SMM                 = Cap(gokvm.CapX86SMM)
	CapSplitIRQChip           = Cap(gokvm.CapSplitIRQChip)
	CapIOEventFDAnyLength     = Cap(gokvm.CapIOEventFDAnyLength)
	CapHyperVSynIC            = Cap(gokvm.CapHyperVSYNIC)
	CapMaxVCPUID              = Cap(gokvm.CapMAXVCPUID) // a number
	CapX2APICAPI              = Cap(gokvm.CapX2APICAPI) // flags
	CapImmediateExit          = Cap(gokvm.CapImmediateExit)
	CapX86DisableExits        = Cap(gokvm.CapX86DisableExits) // flags
	CapHyperVSynIC2           = Cap(gokvm.CapHyperVSYNIC2)
	CapHyperVVPIndex          = Cap(gokvm.CapHyperVVPIndex)
	CapGetMSRFeatures         = Cap(gokvm.CapGETMSRFeatures)
	CapHyperVTLBFlush         = Cap(gokvm.CapHyperVTLBFlush)
	CapHyperVSendIPI          = Cap(gokvm.CapHyperVSendIPI)
	CapExceptionPayload       = Cap(gokvm.CapExceptionPayload)
	CapHyperVCPUID            = Cap(gokvm.CapHyerVCPUID)
	CapManualDirtyLogProtect2 = Cap(gokvm.CapManualDirtyLogProtect2) // flags
	CapPMUEventFilter         = Cap(gokvm.CapPMUEventFilter)
	CapHaltPoll               = Cap(gokvm.CapHALTPoll)
	CapX86UserSpaceMSR        = Cap(gokvm.CapX86UserSpaceMSR) // flags: MSRExit*
	CapX86MSRFilter           = Cap(gokvm.CapX86MSRFilter)
	CapEnforcePVFeatureCPUID  = Cap(gokvm.CapEnforcePVFeatureCPUID)
	CapSysHyperVCPUID         = Cap(gokvm.CapSysHyperVCPUID)
	CapX86BusLockExit         = Cap(gokvm.CapX86BusLockExit)
	CapHyperVEnforceCPUID     = Cap(gokvm.CapHyperVEnforceCPUID)
	CapSRegs2                 = Cap(gokvm.CapSREGS2)
	CapExitHypercall          = Cap(gokvm.CapEXitHyperCall) // flags: one a hypercall
	CapExitOnEmulationFailure = Cap(gokvm.CapExitOnEmulationFailure)
	CapXSave2                 = Cap(gokvm.CapXSave2)         // a number: bytes
	CapPMUCapability          = Cap(gokvm.CapPMUCapability)  // flags
	CapDisableQuirks2         = Cap(gokvm.CapDisableQuirks2) // flags
	CapVMTSCControl           = Cap(gokvm.CapVMTSCControl)
	CapSystemEventData        = Cap(gokvm.CapSystemEventData)
	CapX86TripleFaultEvent    = Cap(gokvm.CapX86TripleFaultEvent)
	CapX86NotifyVMExit        = Cap(gokvm.CapX86NotifyVMExit)
	CapMemoryFaultInfo        = Cap(232)
)

// RequiredCaps returns the capabilities without which no machine can be made,
// all of them in mainline KVM since Linux 4.12.
func RequiredCaps() []Cap {
	return []Cap{
		CapUserMemory, CapSyncMMU, CapSetTSSAddr, CapSetIdentityMapAddr,
		CapIRQChip, CapIRQRouting, CapIRQInjectStatus, CapIRQFD, CapSignalMSI,
		CapIOEventFD, CapExtCPUID, CapMPState, CapImmediateExit,
	}
}

// OptionalCaps returns the capabilities that a machine makes use of when the
// host has them, and that some domains ask for.
func OptionalCaps() []Cap {
	return []Cap{
		CapNRVCPUs, CapMaxVCPUs, CapMaxVCPUID, CapNRMemSlots,
		CapReadOnlyMem, CapIRQFDResample, CapIOEventFDAnyLength, CapManualDirtyLogProtect2,
		CapUserNMI, CapVCPUEvents, CapDebugRegs, CapXSave, CapXSave2, CapXCRS, CapSRegs2,
		CapMCE, CapSetBootCPUID, CapX2APICAPI, CapTSCDeadlineTimer, CapSplitIRQChip,
		CapClockSource, CapAdjustClock, CapKVMClockCtrl, CapEnforcePVFeatureCPUID,
		CapGetTSCKHz, CapTSCControl, CapVMTSCControl,
		CapEnableCap, CapEnableCapVM, CapCheckExtensionVM, CapDeviceCtrl,
		CapX86SMM, CapX86DisableExits, CapHaltPoll, CapPMUCapability, CapPMUEventFilter,
		CapX86UserSpaceMSR, CapX86MSRFilter, CapGetMSRFeatures, CapExtEmulCPUID,
		CapHyperV, CapHyperVTime, CapHyperVSynIC, CapHyperVSynIC2, CapHyperVVPIndex,
		CapHyperVTLBFlush, CapHyperVSendIPI, CapHyperVCPUID, CapSysHyperVCPUID, CapHyperVEnforceCPUID,
		CapSetGuestDebug, CapExceptionPayload, CapX86TripleFaultEvent, CapX86BusLockExit,
		CapX86NotifyVMExit, CapExitHypercall, CapExitOnEmulationFailure, CapSystemEventData,
		CapMemoryFaultInfo, CapDisableQuirks, CapDisableQuirks2,
	}
}
