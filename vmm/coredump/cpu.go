package coredump

import "encoding/binary"

// CPU is the state of one processor.
type CPU struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64

	CS, DS, ES, FS, GS, SS, LDT, TR Segment
	GDT, IDT                        Segment // base and limit alone
	CR0, CR2, CR3, CR4              uint64
	KernelGSBase                    uint64 // IA32_KERNEL_GS_BASE
}

// Segment is a segment register with its hidden part.
type Segment struct {
	Selector uint16
	Base     uint64
	Limit    uint32 // bytes
	// Flags are bits 8 to 23 of a descriptor's second word (Intel SDM volume 3,
	// figure 3-8), without the limit in them.
	Flags uint32
}

// The notes of a processor.
const (
	noteCore     = "CORE"
	notePRStatus = 1 // NT_PRSTATUS
	noteQEMU     = "QEMU"
	noteQEMUType = 0

	qemuVersion = 1
	qemuSize    = 8 + 18*8 + 10*24 + 5*8 + 8
)

// note adds an ELF note.
func note(b []byte, name string, kind uint32, descriptor []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(name)+1))
	b = le.AppendUint32(b, uint32(len(descriptor)))
	b = le.AppendUint32(b, kind)
	b = pad(append(append(b, name...), 0), 4)
	return pad(append(b, descriptor...), 4)
}

// pad fills up to a multiple of n.
func pad(b []byte, n int) []byte {
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

// prStatus is the processor as a thread of a process: Linux's elf_prstatus.
//
//	0    signal, pending and held signals
//	32   thread: the processor's number from 1
//	36   parents and times
//	112  27 registers of 8 bytes, in the order of user_regs_struct
//	328  whether there are floating-point registers
func (c *CPU) prStatus(thread uint32) []byte {
	le := binary.LittleEndian
	b := make([]byte, 112, 336)
	le.PutUint32(b[32:], thread)
	const noSystemCall = ^uint64(0)
	for _, v := range []uint64{
		c.R15, c.R14, c.R13, c.R12, c.RBP, c.RBX, c.R11, c.R10, c.R9, c.R8,
		c.RAX, c.RCX, c.RDX, c.RSI, c.RDI, noSystemCall,
		c.RIP, uint64(c.CS.Selector), c.RFLAGS, c.RSP, uint64(c.SS.Selector),
		c.FS.Base, c.GS.Base,
		uint64(c.DS.Selector), uint64(c.ES.Selector), uint64(c.FS.Selector), uint64(c.GS.Selector),
	} {
		b = le.AppendUint64(b, v)
	}
	return le.AppendUint64(b, 0)
}

// qemuState is all of the processor: QEMUCPUState, version 1.
//
//	0    version, size
//	8    RAX RBX RCX RDX RSI RDI RSP RBP R8-R15 RIP RFLAGS
//	152  CS DS ES FS GS SS LDT TR GDT IDT: selector, limit, flags, 0, base
//	392  CR0 to CR4, of which CR1 is 0
//	432  kernel GS base
func (c *CPU) qemuState() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, qemuSize)
	b = le.AppendUint32(b, qemuVersion)
	b = le.AppendUint32(b, qemuSize)
	for _, v := range []uint64{
		c.RAX, c.RBX, c.RCX, c.RDX, c.RSI, c.RDI, c.RSP, c.RBP,
		c.R8, c.R9, c.R10, c.R11, c.R12, c.R13, c.R14, c.R15, c.RIP, c.RFLAGS,
	} {
		b = le.AppendUint64(b, v)
	}
	for _, s := range []Segment{c.CS, c.DS, c.ES, c.FS, c.GS, c.SS, c.LDT, c.TR, c.GDT, c.IDT} {
		b = le.AppendUint32(b, uint32(s.Selector))
		b = le.AppendUint32(b, s.Limit)
		b = le.AppendUint32(b, s.Flags)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, s.Base)
	}
	for _, v := range []uint64{c.CR0, 0, c.CR2, c.CR3, c.CR4, c.KernelGSBase} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// notes are the notes of all processors.
func notes(cpus []CPU) (b []byte) {
	for i := range cpus {
		b = note(b, noteCore, notePRStatus, cpus[i].prStatus(uint32(i+1)))
	}
	for i := range cpus {
		b = note(b, noteQEMU, noteQEMUType, cpus[i].qemuState())
	}
	return b
}
