# The shortest guest: it says '!' on COM1 with its first instructions and leaves by the debug exit
# port. What it measures is the time from starting a machine to its first instruction.
# The bytes mean the same in 32-bit and 64-bit mode, so that one body serves every entry.

.macro BODY
	mov $0x3f8, %dx
	mov $'!', %al
	out %al, %dx
	mov $0x10, %al
	out %al, $0xf4
1:	hlt
	jmp 1b
.endm

	.section .head, "ax"
	.code32
	.globl startup_32, startup_64
startup_32:
	BODY
	.org 0x100
pvh_start:
	BODY
	.org 0x200
	.code64
startup_64:
	BODY

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18
	.asciz "Xen"
	.long pvh_start

	.section .note.GNU-stack, "", @progbits
