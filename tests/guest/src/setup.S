# The real-mode part of the bzImage: the setup header a boot loader reads, and the 16-bit entry.
#
# Linux/x86 Boot Protocol 2.15. A loader of the 64-bit protocol (govmm) only reads the header; a
# BIOS loader (SeaBIOS's linuxboot ROM, GRUB's linux16) jumps to offset 0x200 of this sector in
# real mode. This code then does what Linux's setup does: ask the BIOS for the memory map, fill a
# zero page, and jump to code32_start with ESI at the zero page.
#
# Linked at 0 as a flat binary of SETUP_SECTS+1 sectors; the zero page lies in its last 4 KiB.

.set SETUP_SECTS, 15
.set HEADER, 0x1f1
.set ZERO_PAGE, 0x1000
.set E820_COUNT, 0x1e8
.set E820_TABLE, 0x2d0
.set E820_MAX, 128
.set SMAP, 0x534d4150

	.code16
	.text
	.globl _start
_start:
	.org HEADER
	.byte SETUP_SECTS		# setup_sects
	.word 0				# root_flags
	.long 0				# syssize in 16-byte units, filled in by the builder
	.word 0				# ram_size
	.word 0xffff			# vid_mode: normal
	.word 0				# root_dev
	.word 0xaa55			# boot_flag
	jmp 1f				# 0x200: the 16-bit entry (two bytes)
	.ascii "HdrS"
	.word 0x020f			# version 2.15
	.long 0				# realmode_swtch
	.word 0				# start_sys_seg
	.word version - 0x200		# kernel_version
	.byte 0				# type_of_loader
	.byte 1				# loadflags: LOADED_HIGH
	.word 0				# setup_move_size
code32_start:
	.long 0x100000			# code32_start
	.long 0				# ramdisk_image
	.long 0				# ramdisk_size
	.long 0				# bootsect_kludge
	.word 0				# heap_end_ptr
	.byte 0				# ext_loader_ver
	.byte 0				# ext_loader_type
	.long 0				# cmd_line_ptr
	.long 0x7fffffff		# initrd_addr_max
	.long 0x100000			# kernel_alignment
	.byte 0				# relocatable_kernel: no
	.byte 20			# min_alignment
	.word 1				# xloadflags: XLF_KERNEL_64
	.long 2047			# cmdline_size
	.long 0				# hardware_subarch
	.quad 0				# hardware_subarch_data
	.long 0				# payload_offset
	.long 0				# payload_length
	.quad 0				# setup_data
	.quad 0x100000			# pref_address
	.long 0				# init_size, filled in by the builder
	.long 0				# handover_offset
	.long 0				# kernel_info_offset
header_end:

1:	cld
	push %ds			# enter with CS = DS, so that offsets are those of this file
	push $2f
	lretw

2:	push %ds
	pop %es
	mov $HEADER, %si		# the zero page carries the setup header on
	mov $(ZERO_PAGE + HEADER), %di
	mov $(header_end - _start - HEADER), %cx
	rep movsb

	xor %ebx, %ebx			# the BIOS memory map, INT 15h AX=E820h (ACPI 6.5, 15.1)
	xor %bp, %bp
	mov $(ZERO_PAGE + E820_TABLE), %di
3:	mov $0xe820, %eax
	mov $20, %ecx
	mov $SMAP, %edx
	int $0x15
	jc 4f
	cmp $SMAP, %eax
	jne 4f
	inc %bp
	add $20, %di
	test %ebx, %ebx
	jz 4f
	cmp $E820_MAX, %bp
	jb 3b
4:	mov %bp, %ax
	mov %al, ZERO_PAGE + E820_COUNT

	mov $0x2401, %ax		# A20 by the BIOS, then by port 92h to be sure
	int $0x15
	in $0x92, %al
	or $2, %al
	and $0xfe, %al
	out %al, $0x92

	cli
	xor %ebx, %ebx			# EBX: where this segment lies
	mov %ds, %bx
	shl $4, %ebx
	lea gdt(%ebx), %eax
	mov %eax, gdt_pointer + 2
	lea enter32(%ebx), %eax
	mov %eax, enter32_pointer
	lea ZERO_PAGE(%ebx), %esi
	mov code32_start, %edi
	lgdtl gdt_pointer
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl *enter32_pointer

	.code32
enter32:
	mov $0x18, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	xor %ebx, %ebx
	xor %ebp, %ebp
	jmp *%edi

	.balign 8
gdt:	.quad 0, 0
	.quad 0x00cf9b000000ffff	# 0x10: __BOOT_CS, flat 32-bit code
	.quad 0x00cf93000000ffff	# 0x18: __BOOT_DS, flat data
gdt_pointer:
	.word . - gdt - 1
	.long 0
enter32_pointer:
	.long 0
	.word 0x10
version:
	.asciz "govmm-guest"

	.org ZERO_PAGE
	.org (SETUP_SECTS + 1) * 512
