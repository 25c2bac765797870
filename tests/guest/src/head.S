# The entries of the kernel, its page tables and descriptor tables, interrupt stubs, and the
# way an application processor takes from real mode into C.
#
# Everything ends in kmain(how, info): long mode, interrupts off, the first 4 GiB mapped one to one.

#include "layout.h"

# Enter long mode from 32-bit protected mode, paging off, and continue at \target.
.macro ENTER_LONG_MODE target
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov %cr0, %eax
	or $(CR0_PG | CR0_PE), %eax
	mov %eax, %cr0
	ljmp $CODE64, $\target
.endm

.macro LOAD_DATA_SEGMENTS
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
.endm

	.section .head, "ax"
	.globl startup_32
	.code32
startup_32:				# Linux boot protocol, 32-bit entry: ESI = zero page
	cli
	cld
	mov $BOOTED_LINUX32, %edi
	jmp protected

	.globl pvh_start
pvh_start:				# PVH entry: EBX = hvm_start_info
	cli
	cld
	mov $BOOTED_PVH, %edi
	mov %ebx, %esi

protected:
	lgdt gdt_pointer
	ljmp $CODE32, $1f
1:	LOAD_DATA_SEGMENTS
	ENTER_LONG_MODE start

	.org 0x200
	.code64
	.globl startup_64
startup_64:				# Linux boot protocol, 64-bit entry: RSI = zero page
	cli
	cld
	mov $BOOTED_LINUX64, %edi
	lgdt gdt_pointer
	mov $pml4, %eax
	mov %rax, %cr3
	LOAD_DATA_SEGMENTS
	mov $stack_top, %esp
	push $CODE64
	push $start
	lretq

start:
	mov $stack_top, %esp
	mov %esi, %esi			# the tables of either protocol lie below 4 GiB
	xor %ebp, %ebp
	call kmain
1:	cli
	hlt
	jmp 1b

# An application processor starts here, copied to TRAMPOLINE, in real mode with CS:IP = vector<<8:0.
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl TRAMPOLINE + 1f - trampoline
	mov %cr0, %eax
	or $CR0_PE, %al
	mov %eax, %cr0
	ljmpl $CODE32, $ap_protected
1:	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	.code32
ap_protected:
	LOAD_DATA_SEGMENTS
	ENTER_LONG_MODE ap_long

	.code64
ap_long:
	mov ap_stack, %rsp
	xor %ebp, %ebp
	call ap_main
1:	hlt
	jmp 1b

# Interrupt stubs, 16 bytes each: an error code (zero where the processor pushes none), the vector,
# the general registers, and struct frame * for C.
	.balign 16
	.globl interrupt_stubs
interrupt_stubs:
	.set vector, 0
	.rept VECTORS
	.balign 16
	.if !((ERROR_CODE_VECTORS >> vector) & 1)
	push $0
	.endif
	push $vector
	jmp interrupt_common
	.set vector, vector + 1
	.endr

	.balign 16
interrupt_common:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	cld
	call interrupt
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

	.data
	.balign 16
	.globl gdt
gdt:	.quad 0
	.quad 0x00cf9b000000ffff	# CODE32
	.quad 0x00af9b000000ffff	# CODE64
	.quad 0x00cf93000000ffff	# DATA
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt

# The page tables are made by the assembler: where kernel instructions are interpreted one by one,
# 2,000 stores are worth saving. 2 MiB pages; the last GiB, where the devices are, is uncached.
# The fifth GiB is a window that map() moves over memory above 4 GiB.
	.balign 4096
	.globl pml4, window
pml4:	.quad pdpt + PTE_PRESENT_WRITE
	.fill 511, 8, 0
pdpt:	.quad directories + 0x0000 + PTE_PRESENT_WRITE
	.quad directories + 0x1000 + PTE_PRESENT_WRITE
	.quad directories + 0x2000 + PTE_PRESENT_WRITE
	.quad directories + 0x3000 + PTE_PRESENT_WRITE
	.quad window + PTE_PRESENT_WRITE
	.fill 507, 8, 0
directories:
	.set page, 0
	.rept 1536
	.quad page * 0x200000 + PTE_LARGE
	.set page, page + 1
	.endr
	.rept 512
	.quad page * 0x200000 + PTE_LARGE + PTE_UNCACHED
	.set page, page + 1
	.endr
window:	.fill 512, 8, 0

	.section .stack, "aw", @nobits
	.balign 16
	.skip STACK_SIZE
stack_top:
	.globl ap_stacks
ap_stacks:
	.skip MAX_APS * AP_STACK_SIZE

# Xen's elfnote.h: type 18, XEN_ELFNOTE_PHYS32_ENTRY, the 32-bit physical entry of PVH.
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18
	.asciz "Xen"
	.long pvh_start

	.section .note.GNU-stack, "", @progbits
