package vmm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/kvm"
)

// HostReport is what Check found out about this host's KVM.
type HostReport struct {
	// Path is the KVM device that was opened.
	Path string `json:"path"`
	// Required and Optional list capabilities. Without a required one no
	// machine can be made.
	Required []CapReport `json:"required"`
	Optional []CapReport `json:"optional"`
	// MaxVCPUs is the greatest number of vCPUs of one machine.
	MaxVCPUs int `json:"max_vcpus"`
	// PhysicalBits is the width of a guest-physical address.
	PhysicalBits uint `json:"physical_bits"`
	// HostMIPS and GuestMIPS are how many million instructions a second a short
	// loop made here and in a guest's kernel mode.
	HostMIPS  float64 `json:"host_mips"`
	GuestMIPS float64 `json:"guest_mips"`
	// Interpreted is true when guest kernel code is so much slower than the
	// host's that it can only be interpreted. Stock kernels do not boot there,
	// or take minutes, and instructions that KVM's interpreter does not know
	// end the guest.
	Interpreted bool `json:"interpreted"`
}

// CapReport is one KVM capability and what KVM answers for it: 0 is "no".
type CapReport struct {
	Name  string `json:"name"`
	Value int    `json:"value"`
}

// Usable reports whether machines can be made on this host.
func (r *HostReport) Usable() bool {
	for _, c := range r.Required {
		if c.Value == 0 {
			return false
		}
	}
	return true
}

// interpretedBelow is the share of the host's speed under which guest code
// cannot be running on the processor itself. An interpreter manages less than a
// hundredth; a nested or emulated host slows both loops alike.
const interpretedBelow = 1.0 / 20

// Check opens the KVM device at path ("" is /dev/kvm), asks it for its
// capabilities and measures how fast guest kernel code runs. It takes some tens
// of milliseconds. The error is a *HostError when there is no usable KVM.
func Check(ctx context.Context, path string) (*HostReport, error) {
	if path == "" {
		path = kvm.DefaultPath
	}
	sys, err := kvm.Open(path)
	if err != nil {
		return nil, hostError(err)
	}
	defer sys.Close()
	r := &HostReport{Path: path, MaxVCPUs: sys.MaxVCPUs()}
	for _, c := range kvm.RequiredCaps() {
		r.Required = append(r.Required, CapReport{c.String(), sys.CheckExtension(c)})
	}
	for _, c := range kvm.OptionalCaps() {
		r.Optional = append(r.Optional, CapReport{c.String(), sys.CheckExtension(c)})
	}
	table, err := newCPUIDTable(sys)
	if err != nil {
		return r, hostError(err)
	}
	r.PhysicalBits = table.physicalBits()
	if !r.Usable() {
		return r, nil
	}
	r.GuestMIPS, err = guestMIPS(ctx, sys, table)
	if err != nil {
		return r, fmt.Errorf("cannot measure the speed of guest code: %w", err)
	}
	r.HostMIPS = hostMIPS()
	r.Interpreted = r.GuestMIPS < r.HostMIPS*interpretedBelow
	return r, nil
}

// The layout of the measuring guest: page tables that map the first 2 MiB, and
// code in 64-bit kernel mode.
const (
	probeSize = 0x6000
	probePML4 = 0x1000
	probePDPT = 0x2000
	probePD   = 0x3000
	probeCode = 0x4000
)

// newProbe makes a machine of one vCPU with a few bytes of code, ready to run
// from probeCode. close takes it down.
func newProbe(sys *kvm.System, table *cpuidTable, code []byte) (_ *kvm.VCPU, close func() error, err error) {
	var c closer
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	vm, err := sys.CreateVM()
	if err != nil {
		return nil, nil, err
	}
	c.add(vm.Close)
	mem, err := unix.Mmap(-1, 0, probeSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	c.add(func() error { return unix.Munmap(mem) })
	const present, writable, large = 1, 2, 0x80
	binary.LittleEndian.PutUint64(mem[probePML4:], probePDPT|present|writable)
	binary.LittleEndian.PutUint64(mem[probePDPT:], probePD|present|writable)
	binary.LittleEndian.PutUint64(mem[probePD:], present|writable|large)
	copy(mem[probeCode:], code)
	if err := vm.SetMemorySlot(kvm.MemorySlot{Host: mem}); err != nil {
		return nil, nil, err
	}
	cpu, err := vm.CreateVCPU(0)
	if err != nil {
		return nil, nil, err
	}
	c.add(cpu.Close)
	if err := cpu.SetCPUID(table.forVCPU(0)); err != nil {
		return nil, nil, err
	}
	sregs, err := cpu.SRegs()
	if err != nil {
		return nil, nil, err
	}
	longMode(&sregs, probePML4)
	if err := cpu.SetSRegs(sregs); err != nil {
		return nil, nil, err
	}
	return cpu, c.Close, cpu.SetRegs(kvm.Regs{RIP: probeCode, RFLAGS: 2})
}

const (
	probeInstructions = 2 // a turn of the loop
	probeLeastTime    = 5 * time.Millisecond
)

// guestMIPS runs a loop in a guest, longer and longer until the time of a run
// can be trusted. The loop counts EDI down to zero and leaves by a port write.
func guestMIPS(ctx context.Context, sys *kvm.System, table *cpuidTable) (mips float64, err error) {
	cpu, close, err := newProbe(sys, table, []byte{
		0xFF, 0xCF, // dec edi
		0x75, 0xFC, // jnz to the dec
		0xE6, 0x80, // out 0x80, al
	})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, close()) }()
	// The first run pays for what KVM sets up when memory is first touched.
	if _, err := probe(ctx, cpu, 1000); err != nil {
		return 0, err
	}
	for turns := uint64(5000); ; turns *= 4 {
		elapsed, err := probe(ctx, cpu, turns)
		if err != nil {
			return 0, err
		}
		if elapsed >= probeLeastTime {
			return float64(turns*probeInstructions) / elapsed.Seconds() / 1e6, nil
		}
	}
}

// probe runs the loop once.
func probe(ctx context.Context, cpu *kvm.VCPU, turns uint64) (time.Duration, error) {
	if err := cpu.SetRegs(kvm.Regs{RIP: probeCode, RDI: turns, RFLAGS: 2}); err != nil {
		return 0, err
	}
	start := time.Now()
	for {
		reason, err := cpu.Run()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		switch reason {
		case kvm.ExitIO:
			elapsed := time.Since(start)
			cpu.SetImmediateExit(true) // KVM finishes the port write
			_, err := cpu.Run()
			cpu.SetImmediateExit(false)
			return elapsed, err
		case kvm.ExitIntr:
		default:
			return 0, fmt.Errorf("unexpected exit %v", reason)
		}
	}
}

// longMode sets up flat 64-bit segments and paging with the given root.
func longMode(s *kvm.SRegs, root uint64) {
	code := kvm.Segment{Limit: 0xFFFFFFFF, Selector: 0x10, Typ: 0xB, Present: 1, S: 1, L: 1, G: 1}
	data := kvm.Segment{Limit: 0xFFFFFFFF, Selector: 0x18, Typ: 0x3, Present: 1, S: 1, DB: 1, G: 1}
	s.CS = code
	s.DS, s.ES, s.FS, s.GS, s.SS = data, data, data, data, data
	const pe, et, pg, pae, lme, lma = 1, 1 << 4, 1 << 31, 1 << 5, 1 << 8, 1 << 10
	s.CR0, s.CR3, s.CR4, s.EFER = pe|et|pg, root, pae, lme|lma
}

// hostMIPS runs a loop like the guest's on this processor.
func hostMIPS() float64 {
	for turns := uint64(1 << 20); ; turns *= 4 {
		start := time.Now()
		spin(turns)
		if elapsed := time.Since(start); elapsed >= probeLeastTime {
			return float64(turns*probeInstructions) / elapsed.Seconds() / 1e6
		}
	}
}

//go:noinline
func spin(turns uint64) {
	for ; turns > 0; turns-- {
	}
}
