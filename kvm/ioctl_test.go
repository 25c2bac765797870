package kvm

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestRequests holds our ioctl numbers against those that a C compiler makes
// of <linux/kvm.h>. A number contains the size of its argument, so this checks
// the sizes of the structs too, also of those that come from gokvm.
func TestRequests(t *testing.T) {
	tests := []struct {
		req  request
		name string
		want uintptr
	}{
		{reqGetAPIVersion, "KVM_GET_API_VERSION", 0x0000ae00},
		{reqCreateVM, "KVM_CREATE_VM", 0x0000ae01},
		{reqGetMSRIndexList, "KVM_GET_MSR_INDEX_LIST", 0xc004ae02},
		{reqCheckExtension, "KVM_CHECK_EXTENSION", 0x0000ae03},
		{reqGetVCPUMmapSize, "KVM_GET_VCPU_MMAP_SIZE", 0x0000ae04},
		{reqGetSupportedCPUID, "KVM_GET_SUPPORTED_CPUID", 0xc008ae05},
		{reqGetEmulatedCPUID, "KVM_GET_EMULATED_CPUID", 0xc008ae09},
		{reqGetMSRFeatureIndexList, "KVM_GET_MSR_FEATURE_INDEX_LIST", 0xc004ae0a},
		{reqGetSupportedHVCPUID, "KVM_GET_SUPPORTED_HV_CPUID", 0xc008aec1},
		{reqGetMCECapSupported, "KVM_X86_GET_MCE_CAP_SUPPORTED", 0x8008ae9d},
		{reqCreateVCPU, "KVM_CREATE_VCPU", 0x0000ae41},
		{reqGetDirtyLog, "KVM_GET_DIRTY_LOG", 0x4010ae42},
		{reqSetUserMemoryRegion, "KVM_SET_USER_MEMORY_REGION", 0x4020ae46},
		{reqSetTSSAddr, "KVM_SET_TSS_ADDR", 0x0000ae47},
		{reqSetIdentityMapAddr, "KVM_SET_IDENTITY_MAP_ADDR", 0x4008ae48},
		{reqCreateIRQChip, "KVM_CREATE_IRQCHIP", 0x0000ae60},
		{reqIRQLine, "KVM_IRQ_LINE", 0x4008ae61},
		{reqGetIRQChip, "KVM_GET_IRQCHIP", 0xc208ae62},
		{reqSetIRQChip, "KVM_SET_IRQCHIP", 0x8208ae63},
		{reqIRQLineStatus, "KVM_IRQ_LINE_STATUS", 0xc008ae67},
		{reqSetGSIRouting, "KVM_SET_GSI_ROUTING", 0x4008ae6a},
		{reqIRQFD, "KVM_IRQFD", 0x4020ae76},
		{reqSetBootCPUID, "KVM_SET_BOOT_CPU_ID", 0x0000ae78},
		{reqIOEventFD, "KVM_IOEVENTFD", 0x4040ae79},
		{reqSetClock, "KVM_SET_CLOCK", 0x4030ae7b},
		{reqGetClock, "KVM_GET_CLOCK", 0x8030ae7c},
		{reqSetTSCKHz, "KVM_SET_TSC_KHZ", 0x0000aea2},
		{reqGetTSCKHz, "KVM_GET_TSC_KHZ", 0x0000aea3},
		{reqEnableCap, "KVM_ENABLE_CAP", 0x4068aea3},
		{reqSignalMSI, "KVM_SIGNAL_MSI", 0x4020aea5},
		{reqClearDirtyLog, "KVM_CLEAR_DIRTY_LOG", 0xc018aec0},
		{reqSetMSRFilter, "KVM_X86_SET_MSR_FILTER", 0x4188aec6},
		{reqCreateDevice, "KVM_CREATE_DEVICE", 0xc00caee0},
		{reqRun, "KVM_RUN", 0x0000ae80},
		{reqGetRegs, "KVM_GET_REGS", 0x8090ae81},
		{reqSetRegs, "KVM_SET_REGS", 0x4090ae82},
		{reqGetSRegs, "KVM_GET_SREGS", 0x8138ae83},
		{reqSetSRegs, "KVM_SET_SREGS", 0x4138ae84},
		{reqTranslate, "KVM_TRANSLATE", 0xc018ae85},
		{reqInterrupt, "KVM_INTERRUPT", 0x4004ae86},
		{reqGetMSRs, "KVM_GET_MSRS", 0xc008ae88},
		{reqSetMSRs, "KVM_SET_MSRS", 0x4008ae89},
		{reqSetSignalMask, "KVM_SET_SIGNAL_MASK", 0x4004ae8b},
		{reqGetFPU, "KVM_GET_FPU", 0x81a0ae8c},
		{reqSetFPU, "KVM_SET_FPU", 0x41a0ae8d},
		{reqGetLAPIC, "KVM_GET_LAPIC", 0x8400ae8e},
		{reqSetLAPIC, "KVM_SET_LAPIC", 0x4400ae8f},
		{reqSetCPUID2, "KVM_SET_CPUID2", 0x4008ae90},
		{reqGetCPUID2, "KVM_GET_CPUID2", 0xc008ae91},
		{reqGetMPState, "KVM_GET_MP_STATE", 0x8004ae98},
		{reqSetMPState, "KVM_SET_MP_STATE", 0x4004ae99},
		{reqNMI, "KVM_NMI", 0x0000ae9a},
		{reqSetGuestDebug, "KVM_SET_GUEST_DEBUG", 0x4048ae9b},
		{reqSetupMCE, "KVM_X86_SETUP_MCE", 0x4008ae9c},
		{reqGetVCPUEvents, "KVM_GET_VCPU_EVENTS", 0x8040ae9f},
		{reqSetVCPUEvents, "KVM_SET_VCPU_EVENTS", 0x4040aea0},
		{reqGetDebugRegs, "KVM_GET_DEBUGREGS", 0x8080aea1},
		{reqSetDebugRegs, "KVM_SET_DEBUGREGS", 0x4080aea2},
		{reqGetXSave, "KVM_GET_XSAVE", 0x9000aea4},
		{reqSetXSave, "KVM_SET_XSAVE", 0x5000aea5},
		{reqGetXCRS, "KVM_GET_XCRS", 0x8188aea6},
		{reqSetXCRS, "KVM_SET_XCRS", 0x4188aea7},
		{reqKVMClockCtrl, "KVM_KVMCLOCK_CTRL", 0x0000aead},
		{reqSMI, "KVM_SMI", 0x0000aeb7},
		{reqGetSRegs2, "KVM_GET_SREGS2", 0x8140aecc},
		{reqSetSRegs2, "KVM_SET_SREGS2", 0x4140aecd},
		{reqGetXSave2, "KVM_GET_XSAVE2", 0x9000aecf},
		{reqSetDeviceAttr, "KVM_SET_DEVICE_ATTR", 0x4018aee1},
		{reqGetDeviceAttr, "KVM_GET_DEVICE_ATTR", 0x4018aee2},
	}
	for _, tt := range tests {
		if uintptr(tt.req) != tt.want {
			t.Errorf("%s = %#x, kernel has %#x", tt.name, uintptr(tt.req), tt.want)
		}
		if got := tt.req.String(); got != tt.name {
			t.Errorf("request %#x is named %s, kernel has %s", tt.want, got, tt.name)
		}
	}
}

// TestRequestsComplete makes sure that no request is missing from TestRequests.
func TestRequestsComplete(t *testing.T) {
	src, err := os.ReadFile("ioctl.go")
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("ioctl_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\t(req\w+) +=`).FindAllSubmatch(src, -1)
	if len(found) == 0 {
		t.Fatal("found no requests in ioctl.go")
	}
	for _, m := range found {
		if !strings.Contains(string(table), "{"+string(m[1])+",") {
			t.Errorf("%s is not in the table of TestRequests", m[1])
		}
	}
}

// TestSizes checks the structs whose size is in no ioctl number, and the
// places of what user space writes in the run page.
func TestSizes(t *testing.T) {
	var p runPage
	tests := []struct {
		name      string
		got, want uintptr
	}{
		{"kvm_cpuid_entry2", unsafe.Sizeof(CPUIDEntry{}), 40},
		{"kvm_msr_entry", unsafe.Sizeof(MSREntry{}), 16},
		{"kvm_irq_routing_entry", unsafe.Sizeof(Route{}), 48},
		{"kvm_segment", unsafe.Sizeof(Segment{}), 24},
		{"kvm_dtable", unsafe.Sizeof(Descriptor{}), 16},
		{"kvm_pic_state", unsafe.Sizeof(PICState{}), 16},
		{"kvm_ioapic_state", unsafe.Sizeof(IOAPICState{}), 216},
		{"kvm_msr_filter_range", unsafe.Sizeof(msrFilterRange{}), 24},
		{"kvm_device_attr", unsafe.Sizeof(deviceAttr{}), 24},
		{"kvm_run", unsafe.Sizeof(p), 2352},
		{"kvm_run.exit_reason", unsafe.Offsetof(p.exitReason), 8},
		{"kvm_run.flags", unsafe.Offsetof(p.flags), 14},
		{"kvm_run.cr8", unsafe.Offsetof(p.cr8), 16},
		{"kvm_run.apic_base", unsafe.Offsetof(p.apicBase), 24},
		{"kvm_run.io", unsafe.Offsetof(p.data), 32},
		{"kvm_run.kvm_valid_regs", unsafe.Offsetof(p.validRegs), 288},
		{"kvm_run.msr.index", unsafe.Offsetof(MSRExit{}.Index), 12},
		{"kvm_run.msr.data", unsafe.Offsetof(MSRExit{}.Data), 16},
		{"kvm_run.debug", unsafe.Sizeof(DebugExit{}), 32},
		{"kvm_run.hypercall", unsafe.Sizeof(HypercallExit{}), 72},
		{"kvm_hyperv_exit", unsafe.Sizeof(HyperVExit{}), 56},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %d, kernel has %d", tt.name, tt.got, tt.want)
		}
	}
}

func TestError(t *testing.T) {
	var err error = &Error{Op: "KVM_CREATE_VM", Err: unix.EPERM}
	if got, want := err.Error(), "KVM_CREATE_VM: operation not permitted"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, unix.EPERM) || !errors.Is(err, os.ErrPermission) {
		t.Error("the error does not wrap its errno")
	}
	busy := &Error{Op: "KVM_CREATE_VM", Err: unix.EBUSY}
	if !strings.Contains(busy.Error(), "another hypervisor") {
		t.Errorf("no cause in %q", busy)
	}
	if _, err := ioctl(-1, reqRun, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("ioctl of no file: %v, want EBADF", err)
	}
}
